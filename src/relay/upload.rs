//! A request's body on its way in: its end, its limit, its least rate.

use std::io::ErrorKind;
use std::task::{Context, Poll};

use crate::http1::{Chunked, ChunkedForm, Framing, LAST_CHUNK, Version};
use crate::types::Pace;

use super::buffer::Buffer;
use super::client::Downstream;
use super::clock::Late;
use super::fault::Fault;
use super::splice::Conduit;
use super::wire::Wire;
use super::worker::Relay;

/// A body as it comes.
#[derive(Debug)]
pub(super) struct Upload {
    left: u64,
    coding: Coding,
    /// Bytes of data so far.
    pub received: u64,
    limit: Option<u64>,
    done: bool,
    pace: Pace,
}

/// What tells where a body ends.
#[derive(Debug)]
enum Coding {
    /// Its length.
    Length,
    /// The last chunk.
    Chunks(Chunked),
    /// The end of its stream; what came behind the body, as it goes behind the last chunk.
    Stream(Option<Vec<u8>>),
}

impl Upload {
    /// A body of which nothing was read yet, in this version of HTTP.
    pub fn new(framing: Framing, version: Version, limit: Option<u64>) -> Self {
        let (left, coding, done) = match framing {
            Framing::None => (0, Coding::Length, true),
            Framing::Length(length) => (length, Coding::Length, false),
            Framing::Chunked if version == Version::Http2 => (0, Coding::Stream(None), false),
            Framing::Chunked => (0, Coding::Chunks(Chunked::new(ChunkedForm::Data)), false),
        };
        Self { left, coding, received: 0, limit, done, pace: Pace::default() }
    }

    /// True once all of it was read.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// What ends a body in chunks, once all of it was read.
    pub fn ending(&self) -> &[u8] {
        match &self.coding {
            Coding::Chunks(chunked) => chunked.ending(),
            Coding::Stream(Some(trailers)) if self.done => trailers,
            Coding::Stream(None) if self.done => LAST_CHUNK,
            Coding::Stream(_) | Coding::Length => b"",
        }
    }

    /// Puts the next data behind what `into` holds, which must not be full. Ready without any once the body is done.
    pub fn poll_next<'w>(
        &mut self,
        relay: &'w Relay,
        client: Downstream<'_, 'w>,
        context: &mut Context<'_>,
        into: &mut Buffer<'w>,
    ) -> Poll<Result<(), Fault>> {
        let before = into.data().len();
        while !self.done && into.data().len() == before {
            let room = into.data_room().len();
            let most = usize::try_from(self.left).unwrap_or(room);
            let room = if let Coding::Length = self.coding { room.min(most) } else { room };
            let count = match client.poll_body(context, into, room) {
                Poll::Ready(Ok(0)) if self.ends(client) => break,
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Fault::ClientLeft)),
                Poll::Ready(Ok(count)) => count,
                Poll::Pending => return self.poll_late(relay, client, context).map(Err),
            };
            relay.moved(&mut self.pace, count);
            self.account(client, into, before, count)?;
        }
        client.watch().client_until(None);
        Poll::Ready(Ok(()))
    }

    /// A way to `backend` for what is left without a copy, where there is one and it is worth it.
    pub fn conduit<'w>(&self, relay: &'w Relay, client: Downstream<'_, 'w>, backend: &Wire) -> Option<Conduit<'w>> {
        let Coding::Length = self.coding else { return None };
        let client = client.connection().filter(|client| client.input.borrow().is_none())?;
        relay.pipes.between(&client.wire, backend, self.left)
    }

    /// Puts the next data into `into`. False when the system does not do that.
    pub fn poll_splice<'w>(
        &mut self,
        relay: &'w Relay,
        client: Downstream<'_, 'w>,
        context: &mut Context<'_>,
        into: &mut Conduit<'w>,
    ) -> Poll<Result<bool, Fault>> {
        let Some(wire) = client.plain_wire() else { return Poll::Ready(Ok(false)) };
        match into.poll_fill(wire, self.left, context) {
            Poll::Ready(Ok(count)) if count != 0 => {
                relay.moved(&mut self.pace, count);
                self.received += count as u64;
                self.left = self.left.saturating_sub(count as u64);
                self.done = self.left == 0;
                client.watch().client_until(None);
                Poll::Ready(Ok(true))
            }
            Poll::Ready(Err(error)) if error.kind() == ErrorKind::Unsupported => {
                relay.pipes.refuse();
                Poll::Ready(Ok(false))
            }
            Poll::Ready(Ok(_) | Err(_)) => Poll::Ready(Err(Fault::ClientLeft)),
            Poll::Pending => self.poll_late(relay, client, context).map(Err),
        }
    }

    /// The client is waited for.
    fn poll_late<'w>(
        &mut self,
        relay: &'w Relay,
        client: Downstream<'_, 'w>,
        context: &mut Context<'_>,
    ) -> Poll<Fault> {
        client.watch().client_until(Some(relay.wait(&mut self.pace)));
        match client.watch().late(context) {
            Some(Late::Client) => Poll::Ready(Fault::ClientSlow),
            Some(Late::Backend) | None => Poll::Pending,
        }
    }

    /// The stream ended: true where that ends the body.
    fn ends(&mut self, client: Downstream<'_, '_>) -> bool {
        let (Coding::Stream(ending), Downstream::Http2(stream)) = (&mut self.coding, client) else { return false };
        *ending = stream.take_trailers().and_then(|trailers| trailer_section(&trailers));
        self.done = true;
        true
    }

    /// Counts `count` bytes that were put into `into` behind `before` others, and leaves the data of them there.
    fn account<'w>(
        &mut self,
        client: Downstream<'_, 'w>,
        into: &mut Buffer<'w>,
        before: usize,
        count: usize,
    ) -> Result<(), Fault> {
        if let Coding::Chunks(chunked) = &mut self.coding {
            let came = into.data_mut().get_mut(before..).unwrap_or_default();
            let rewritten = chunked.rewrite(came).map_err(|bad| Fault::BadBody(bad.0))?;
            if rewritten.read < count
                && let Some(client) = client.connection()
            {
                client.give_back(into, before + rewritten.read, count - rewritten.read);
            }
            into.truncate(before + rewritten.written);
            self.received = chunked.data();
            self.done = chunked.is_done();
        } else {
            self.received += count as u64;
            self.left = self.left.saturating_sub(count as u64);
            self.done = self.left == 0;
        }
        if self.limit.is_some_and(|limit| limit < self.received) { Err(Fault::TooLarge) } else { Ok(()) }
    }
}

/// Trailers as they go behind the last chunk; `None` where none of them may be passed on, which the chunked coding knows.
fn trailer_section(trailers: &http::HeaderMap) -> Option<Vec<u8>> {
    let mut text = b"0\r\n".to_vec();
    for (name, value) in trailers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            text.extend_from_slice(part);
        }
    }
    text.extend_from_slice(b"\r\n");
    let mut chunked = Chunked::new(ChunkedForm::Chunks);
    chunked.rewrite(&mut text).ok()?;
    Some(chunked.ending().to_vec()).filter(|ending| *ending != LAST_CHUNK)
}
