//! Whoever sent a request, and however: the one seam between the exchange of a request and the protocol it came in.

mod http1;
mod http2;
mod peer;

use std::io;
use std::task::{Context, Poll};

use crate::http1::{ResponseView, Version};
use crate::plan::OwnResponse;

use super::buffer::Buffer;
use super::clock::Watched;
use super::response_head::{self, HeadOut};
use super::wire::Wire;
use super::worker::Relay;

pub use http1::Client;
pub use http2::Stream;
pub use peer::Peer;

/// One request's client, in its protocol.
#[derive(Clone, Copy)]
pub enum Downstream<'a, 'w> {
    /// A connection of HTTP/1.
    Http1(&'a Client<'w>),
    /// A stream of HTTP/2.
    Http2(&'a Stream<'w>),
}

impl<'a, 'w> Downstream<'a, 'w> {
    /// The deadlines.
    pub fn watch(self) -> &'a Watched<'w> {
        match self {
            Self::Http1(client) => &client.watch,
            Self::Http2(stream) => &stream.watch,
        }
    }

    /// Who it is.
    pub fn peer(self) -> &'a Peer {
        match self {
            Self::Http1(client) => &client.peer,
            Self::Http2(stream) => &stream.peer,
        }
    }

    /// The connection, where the request has it for itself.
    pub(super) fn connection(self) -> Option<&'a Client<'w>> {
        match self {
            Self::Http1(client) => Some(client),
            Self::Http2(_) => None,
        }
    }

    /// True once the client does not wait for a response any more. What else it says is kept for its next request.
    pub(super) fn is_gone(self, relay: &'w Relay, context: &mut Context<'_>) -> bool {
        match self {
            Self::Http1(client) => client.is_gone(relay, context),
            Self::Http2(stream) => stream.is_gone(context),
        }
    }

    /// Puts the next bytes of the body, as they are framed, into `into`, at most `room` of them; 0 is its end.
    pub(super) fn poll_body(
        self,
        context: &mut Context<'_>,
        into: &mut Buffer<'w>,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Http1(client) => client.poll_body(context, into, room),
            Self::Http2(stream) => stream.poll_body(context, into, room),
        }
    }

    /// The head of a response, to be written.
    pub(super) fn head(self, relay: &'w Relay) -> HeadOut<'w> {
        match self {
            Self::Http1(_) => HeadOut::Text(relay.lines.take()),
            Self::Http2(_) => HeadOut::frame(),
        }
    }

    /// Says that the body may come (RFC 9110, section 10.1.1).
    ///
    /// # Errors
    /// When the client is gone, or takes nothing for too long.
    pub(super) async fn go_on(self, relay: &Relay) -> io::Result<()> {
        match self {
            Self::Http1(client) => client.send(relay, b"HTTP/1.1 100 Continue\r\n\r\n", b"").await,
            Self::Http2(stream) => stream.interim(HeadOut::of_status(100)),
        }
    }

    /// Passes an interim response on. A client of HTTP/1.0 does not know any.
    ///
    /// # Errors
    /// As `go_on`.
    pub(super) async fn interim(self, relay: &'w Relay, view: &ResponseView<'_>, version: Version) -> io::Result<()> {
        let mut head = self.head(relay);
        match self {
            Self::Http1(_) if version == Version::Http10 => Ok(()),
            Self::Http1(client) => {
                response_head::interim(&mut head, view);
                client.send(relay, head.text(), b"").await
            }
            Self::Http2(stream) => {
                response_head::interim(&mut head, view);
                stream.interim(head)
            }
        }
    }

    /// Sends a response of the edge's own.
    ///
    /// # Errors
    /// As `go_on`.
    pub(super) async fn respond(
        self,
        relay: &'w Relay,
        response: &OwnResponse,
        to_head: bool,
        version: Version,
        keep_alive: bool,
    ) -> io::Result<u64> {
        let mut head = self.head(relay);
        response_head::own(&mut head, relay, response, version, keep_alive);
        let body: &[u8] = if to_head { b"" } else { &response.body };
        match self {
            Self::Http1(client) => client.send(relay, head.text(), body).await?,
            Self::Http2(stream) => stream.send(relay, head, body).await?,
        }
        Ok(body.len() as u64)
    }

    /// Sends small writes at once from now on: what goes in several parts must not wait for an acknowledgement of the first.
    pub(super) fn set_nodelay(self) {
        if let Self::Http1(client) = self {
            client.wire.set_nodelay();
        }
    }

    /// Drops what the client did not take: else the system goes on offering it, to a client that takes next to nothing.
    pub(super) fn drop_unsent(self) {
        match self {
            Self::Http1(client) => client.wire.reset_on_close(),
            Self::Http2(stream) => stream.reset(h2::Reason::CANCEL),
        }
    }

    /// The socket of the client, where bytes may go between it and a backend without a copy.
    pub(super) fn plain_wire(self) -> Option<&'a Wire> {
        self.connection().map(|client| &client.wire)
    }
}
