//! A request on its way to a backend: its head, what of the body waited here, and what streams.

use std::task::{Context, Poll};
use std::time::Instant;

use super::buffer::{Buffer, HEADROOM, Line};
use super::client::Downstream;
use super::deadlines::Deadlines;
use super::fault::Fault;
use super::heads::RequestBodyOut;
use super::splice::Conduit;
use super::spool::Spool;
use super::upload::Upload;
use super::wire::Wire;
use super::worker::Relay;

/// What is sent to a backend; the same for every attempt, as long as the body has not begun to stream.
pub(super) struct Outgoing<'w> {
    pub head: Line<'w>,
    /// What of the body waited here.
    pub spool: Spool<'w>,
    pub upload: Upload,
    pub body: RequestBodyOut,
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

impl<'w> Sending<'w> {
    /// Sends what can be sent now. Ready once all is sent, or the backend takes no more: it may have answered already.
    pub fn poll(
        &mut self,
        relay: &'w Relay,
        client: Downstream<'_, 'w>,
        wire: &Wire,
        outgoing: &mut Outgoing<'w>,
        deadlines: Deadlines,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        while !self.settled {
            let written = self.poll_ready_bytes(wire, outgoing, context);
            match written {
                Poll::Ready(Some(Ok(()))) => self.stalled = None,
                Poll::Ready(Some(Err(_))) => self.settled = true,
                Poll::Pending => {
                    // It is the backend that is waited for; who waits for the client as well says so again.
                    client.watch().client_until(None);
                    let due = *self.stalled.get_or_insert_with(|| relay.clock.now() + deadlines.write);
                    client.watch().backend_until(Some(due));
                    return Poll::Pending;
                }
                Poll::Ready(None) if outgoing.upload.is_done() => self.settled = true,
                Poll::Ready(None) => {
                    client.watch().backend_until(None);
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
        let ending = if outgoing.body == RequestBodyOut::Chunks { outgoing.upload.ending() } else { b"" };
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
        client: Downstream<'_, 'w>,
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
        if outgoing.body == RequestBodyOut::Chunks && !piece.is_empty() {
            piece.make_chunk();
        }
        self.piece = Some(piece);
        Poll::Ready(Ok(()))
    }
}
