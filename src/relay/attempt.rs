//! One attempt at one backend: a connection, the request on its way there, the head of the answer on its way back.

use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::http1::{ResponseHead, Version};
use crate::plan;
use crate::upstream::{Failure, Lease, Upstream, not_connected};

use super::Relay;
use super::buffer::{Buffer, HEADROOM, Line};
use super::client::Client;
use super::clock::Late;
use super::fault::Fault;
use super::heads::{self, BodyOut};
use super::pool;
use super::splice::Conduit;
use super::spool::Spool;
use super::upload::Upload;
use super::wire::Wire;

/// What is sent to a backend; the same for every attempt, as long as the body has not begun to stream.
pub(super) struct Outgoing<'w> {
    pub head: Line<'w>,
    /// What of the body waited here.
    pub spool: Spool<'w>,
    pub upload: Upload,
    pub body: BodyOut,
    /// The body streams: what was sent cannot be sent again.
    pub streams: bool,
}

/// How far an attempt's request is.
#[derive(Default)]
pub(super) struct Sending<'w> {
    /// Bytes of the head and of what waited.
    sent: usize,
    /// Those are all.
    head_sent: bool,
    piece: Option<Buffer<'w>>,
    /// The way of a large body, beside `piece`.
    conduit: Option<Conduit<'w>>,
    ending: usize,
    /// Nothing more is to be sent, or the backend takes no more.
    settled: bool,
    /// By when the backend has to take something again.
    stalled: Option<Instant>,
}

/// An answer whose head is here.
pub(super) struct Answered<'w> {
    pub wire: Wire,
    /// What was read, from the head on.
    pub bytes: Buffer<'w>,
    pub head: ResponseHead,
    pub sending: Sending<'w>,
}

/// Deadlines of an upstream.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    pub connect: Duration,
    pub read: Duration,
    pub write: Duration,
}

/// The backend that a request waits in.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub upstream: &'a Upstream,
    pub lease: &'a Lease,
    pub tried: &'a [SocketAddr],
    /// Attempts made, this one too.
    pub attempts: u32,
    /// It has left a backend that was put out before: once is enough.
    pub has_moved: bool,
    /// What was sent may be sent again.
    pub idempotent: bool,
}

impl Place<'_> {
    /// True where the request leaves: its backend was put out and another can take it.
    fn is_left(&self) -> bool {
        !self.has_moved && plan::may_leave(self.upstream, self.lease, self.tried, self.attempts)
    }
}

/// A connection to the backend: one that waits, where `reuse` allows it, else a new one. True when it waited.
///
/// # Errors
/// With why there is none, and whether the backend is to blame.
pub(super) async fn connect(
    relay: &Relay,
    client: &Client<'_>,
    place: Place<'_>,
    reuse: bool,
    patience: Patience,
) -> Result<(Wire, bool), (Fault, bool)> {
    let backend = place.lease.backend().address();
    if let Some(wire) = reuse.then(|| relay.pool.take(backend, relay.clock.now())).flatten() {
        return Ok((wire, true));
    }
    relay.pool.make_room(backend);
    let mut connecting = std::pin::pin!(tokio::time::timeout(patience.connect, pool::connect(backend)));
    let connected = poll_fn(|context| {
        if let Poll::Ready(connected) = connecting.as_mut().poll(context) {
            return Poll::Ready(Some(connected));
        }
        // Nothing was sent yet, whatever the method.
        if place.is_left() {
            return Poll::Ready(None);
        }
        client.watch.backend_until(Some(relay.clock.now() + patience.connect));
        let _ = client.watch.late(context);
        Poll::Pending
    });
    let connected = connected.await;
    client.watch.backend_until(None);
    match connected {
        Some(Ok(Ok(wire))) => Ok((wire, false)),
        Some(Ok(Err(error))) => {
            let (failure, blamed) = not_connected(&error);
            Err((Fault::Backend(failure), blamed))
        }
        Some(Err(_)) => Err((Fault::Backend(Failure::ConnectTimeout), true)),
        None => Err((Fault::Evicted, false)),
    }
}

impl<'w> Sending<'w> {
    /// Sends what can be sent now. Ready once all is sent, or the backend takes no more: it may have answered already.
    pub fn poll(
        &mut self,
        relay: &'w Relay,
        client: &Client<'w>,
        wire: &Wire,
        outgoing: &mut Outgoing<'w>,
        patience: Patience,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        while !self.settled {
            let written = self.poll_ready_bytes(wire, outgoing, context);
            match written {
                Poll::Ready(Some(Ok(()))) => self.stalled = None,
                Poll::Ready(Some(Err(_))) => self.settled = true,
                Poll::Pending => {
                    // It is the backend that is waited for; who waits for the client as well says so again.
                    client.watch.client_until(None);
                    let due = *self.stalled.get_or_insert_with(|| relay.clock.now() + patience.write);
                    client.watch.backend_until(Some(due));
                    return Poll::Pending;
                }
                Poll::Ready(None) if outgoing.upload.is_done() => self.settled = true,
                Poll::Ready(None) => {
                    client.watch.backend_until(None);
                    match self.poll_piece(relay, client, wire, outgoing, context) {
                        Poll::Ready(Ok(())) => {}
                        other => return other,
                    }
                }
            }
        }
        self.piece = None;
        self.conduit = None;
        Poll::Ready(Ok(()))
    }

    /// True once nothing more is sent.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// Writes some of what is ready; `None` when nothing is.
    fn poll_ready_bytes(
        &mut self,
        wire: &Wire,
        outgoing: &Outgoing<'w>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<()>>> {
        if !self.head_sent {
            let parts = std::iter::once(&outgoing.head[..]).chain(outgoing.spool.parts());
            match wire.poll_write_from(context, parts, self.sent) {
                Poll::Ready(Ok(0)) => self.head_sent = true,
                write => return write.map(|written| Some(written.map(|count| self.sent += count))),
            }
        }
        if let Some(conduit) = self.conduit.as_mut().filter(|conduit| !conduit.is_empty()) {
            return conduit.poll_drain(wire, context).map(|drained| Some(drained.map(drop)));
        }
        let ending = if outgoing.body == BodyOut::Chunks { outgoing.upload.ending() } else { b"" };
        let ending = ending.get(self.ending..).unwrap_or_default();
        let piece = self.piece.as_ref().map_or(&b""[..], Buffer::data);
        if piece.is_empty() && ending.is_empty() {
            return Poll::Ready(None);
        }
        let (length, write) = (piece.len(), wire.poll_write(context, piece, ending));
        write.map(|written| {
            Some(written.map(|count| {
                if let Some(piece) = &mut self.piece {
                    piece.used(count.min(length));
                }
                self.ending += count.saturating_sub(length);
            }))
        })
    }

    /// Takes the next part of the body from the client.
    fn poll_piece(
        &mut self,
        relay: &'w Relay,
        client: &Client<'w>,
        wire: &Wire,
        outgoing: &mut Outgoing<'w>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        outgoing.streams = true;
        if self.conduit.is_none() {
            self.conduit = outgoing.upload.conduit(relay, client, wire);
        }
        if let Some(conduit) = &mut self.conduit {
            match outgoing.upload.poll_splice(relay, client, context, conduit) {
                Poll::Ready(Ok(true)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(false)) => self.conduit = None,
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                Poll::Pending => {
                    // It is empty, and others may need it meanwhile.
                    self.conduit = None;
                    return Poll::Pending;
                }
            }
        }
        let mut piece = self.piece.take().unwrap_or_else(|| relay.buffers.large());
        piece.clear(HEADROOM);
        match outgoing.upload.poll_next(relay, client, context, &mut piece) {
            Poll::Ready(Ok(())) => {}
            other => return other,
        }
        if outgoing.body == BodyOut::Chunks && !piece.is_empty() {
            piece.make_chunk();
        }
        self.piece = Some(piece);
        Poll::Ready(Ok(()))
    }
}

/// Sends the request and waits for the head of the answer. Interim answers are passed on meanwhile.
pub(super) async fn ask<'w>(
    relay: &'w Relay,
    client: &Client<'w>,
    wire: Wire,
    outgoing: &mut Outgoing<'w>,
    patience: Patience,
    asked: Asked,
    mut place: Place<'_>,
) -> Result<Answered<'w>, Fault> {
    let mut sending = Sending::default();
    let mut head = relay.take_answer();
    let mut bytes: Option<Buffer<'w>> = None;
    loop {
        let waited =
            wait_for_head(relay, client, &wire, outgoing, patience, asked, place, &mut sending, &mut head, &mut bytes);
        let result = waited.await;
        client.watch.backend_until(None);
        client.watch.client_until(None);
        result?;
        let Some(mut bytes_here) = bytes.take() else { return Err(Fault::Backend(Failure::BadAnswer)) };
        if head.status == 101 {
            // Nobody asked for another protocol.
            return Err(Fault::Backend(Failure::BadAnswer));
        }
        if !head.is_interim() {
            return Ok(Answered { wire, bytes: bytes_here, head, sending });
        }
        place.has_moved = true;
        // Leave to send the body was given here.
        if head.status != 100 && asked.version == Version::Http11 {
            let mut out = relay.lines.take();
            heads::interim(&mut out, &head.view(bytes_here.data()));
            client.send(relay, &out, b"").await.map_err(|_| Fault::ClientLeft)?;
        }
        bytes_here.used(head.length);
        bytes = Some(bytes_here);
    }
}

/// What of the question decides how the answer is read.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub is_head: bool,
    pub version: Version,
}

#[expect(clippy::too_many_arguments, reason = "the parts of one attempt, each borrowed apart")]
async fn wait_for_head<'w>(
    relay: &'w Relay,
    client: &Client<'w>,
    wire: &Wire,
    outgoing: &mut Outgoing<'w>,
    patience: Patience,
    asked: Asked,
    place: Place<'_>,
    sending: &mut Sending<'w>,
    head: &mut ResponseHead,
    bytes: &mut Option<Buffer<'w>>,
) -> Result<(), Fault> {
    let mut is_asked = false;
    poll_fn(|context| {
        if !is_asked {
            match sending.poll(relay, client, wire, outgoing, patience, context) {
                Poll::Ready(Ok(())) => {
                    is_asked = true;
                    // From here to the whole of the head: a backend that sends it byte by byte is late too.
                    client.watch.backend_until(Some(relay.clock.now() + patience.read));
                }
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                Poll::Pending => {}
            }
        }
        if let Poll::Ready(read) = poll_head(relay, wire, asked.is_head, head, bytes, context) {
            return Poll::Ready(read.map_err(Fault::Backend));
        }
        if is_asked && client.is_gone(relay, context) {
            return Poll::Ready(Err(Fault::ClientLeft));
        }
        if place.idempotent && !outgoing.streams && bytes.is_none() && place.is_left() {
            return Poll::Ready(Err(Fault::Evicted));
        }
        match client.watch.late(context) {
            Some(Late::Client) => Poll::Ready(Err(Fault::ClientSlow)),
            Some(Late::Backend) => Poll::Ready(Err(Fault::Backend(Failure::Timeout))),
            None => Poll::Pending,
        }
    })
    .await
}

/// Reads until the head is whole. A buffer is held only while there is something in it.
fn poll_head<'w>(
    relay: &'w Relay,
    wire: &Wire,
    to_head: bool,
    head: &mut ResponseHead,
    bytes: &mut Option<Buffer<'w>>,
    context: &mut Context<'_>,
) -> Poll<Result<(), Failure>> {
    let mut buffer = bytes.take().unwrap_or_else(|| relay.buffers.large());
    loop {
        if !buffer.is_empty() {
            match head.read(buffer.data(), to_head) {
                Ok(true) => {
                    *bytes = Some(buffer);
                    return Poll::Ready(Ok(()));
                }
                Ok(false) => {}
                Err(_) => return Poll::Ready(Err(Failure::BadAnswer)),
            }
        }
        if buffer.is_full() {
            return Poll::Ready(Err(Failure::BadAnswer));
        }
        match wire.poll_read(context, buffer.data_room()) {
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Failure::Reset)),
            Poll::Ready(Ok(count)) => buffer.filled(count),
            Poll::Pending => {
                *bytes = Some(buffer).filter(|buffer| !buffer.is_empty());
                return Poll::Pending;
            }
        }
    }
}
