//! A connection that became a tunnel: bytes go both ways as they come, until both sides ended.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::buffer::Buffer;
use super::client::Client;
use super::clock::{Clock, Watched};
use super::splice::Conduit;
use super::wire::Wire;
use super::worker::Relay;

/// How long a tunnel may be silent in both directions.
const IDLE: Duration = Duration::from_secs(3600);
/// A read of so many bytes says that more is behind it: the rest goes without a copy, where the system does that.
const BULK: usize = 32 * 1024;

/// One direction.
#[derive(Default)]
struct Flow<'w> {
    piece: Option<Buffer<'w>>,
    conduit: Option<Conduit<'w>>,
    /// Bytes that went through.
    moved: u64,
    is_bulk: bool,
    /// The sender ended; `is_over` once the receiver was told.
    is_ended: bool,
    is_over: bool,
}

impl<'w> Flow<'w> {
    /// A direction in which some bytes came already.
    fn new(piece: Option<Buffer<'w>>) -> Self {
        Self { piece, ..Self::default() }
    }

    /// Moves what can be moved. Ready once the direction is over.
    fn poll(&mut self, relay: &'w Relay, from: &Wire, to: &Wire, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_out(to, context))?;
            if self.is_over {
                return Poll::Ready(Ok(()));
            }
            if self.is_ended {
                // A receiver that is gone needs no goodbye.
                let _ = ready!(to.poll_shutdown(context));
                self.is_over = true;
                return Poll::Ready(Ok(()));
            }
            if self.is_bulk && self.conduit.is_none() {
                self.conduit = relay.pipes.between(from, to, u64::MAX);
                self.is_bulk = self.conduit.is_some();
            }
            match ready!(self.poll_in(relay, from, context))? {
                0 => self.is_ended = true,
                count => self.moved += count as u64,
            }
        }
    }

    /// Writes what came.
    fn poll_out(&mut self, to: &Wire, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(conduit) = self.conduit.as_mut().filter(|conduit| !conduit.is_empty()) {
            ready!(conduit.poll_drain(to, context))?;
        }
        while let Some(piece) = &mut self.piece {
            if piece.is_empty() {
                self.piece = None;
                break;
            }
            let count = ready!(to.poll_write(context, piece.data(), b""))?;
            piece.used(count);
        }
        // TLS holds back what the socket does not take.
        to.poll_flush(context)
    }

    /// Reads what comes next; 0 is the end.
    fn poll_in(&mut self, relay: &'w Relay, from: &Wire, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Some(conduit) = &mut self.conduit {
            match conduit.poll_fill(from, u64::MAX, context) {
                Poll::Ready(Err(error)) if error.kind() == ErrorKind::Unsupported => relay.pipes.refuse(),
                Poll::Ready(done) => return Poll::Ready(done),
                Poll::Pending => {}
            }
            // Small messages are cheaper to copy, and others may need the pipe.
            self.conduit = None;
            self.is_bulk = false;
        }
        let mut piece = relay.buffers.large();
        let count = ready!(from.poll_read(context, piece.data_room()))?;
        piece.filled(count);
        self.is_bulk = BULK <= count;
        self.piece = Some(piece);
        Poll::Ready(Ok(count))
    }
}

/// What went through a tunnel, bytes.
pub(super) struct Moved {
    pub inward: u64,
    pub outward: u64,
}

/// Joins a client and a backend; `early` is what the backend sent behind its head. Ends when both sides ended, one of them
/// is gone, or nothing moves for an hour.
pub(super) async fn join<'w>(relay: &'w Relay, client: &Client<'w>, backend: &Wire, early: Buffer<'w>) -> Moved {
    client.wire.set_nodelay();
    client.wire.keep_alive();
    backend.keep_alive();
    let mut inward = Flow::new(client.input.take());
    let mut outward = Flow::new(Some(early));
    let mut moved = u64::MAX;
    poll_fn(|context| {
        let first = inward.poll(relay, &client.wire, backend, context);
        let second = outward.poll(relay, backend, &client.wire, context);
        match (first, second) {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(()),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(()),
            _ => {}
        }
        let now = inward.moved + outward.moved;
        if std::mem::replace(&mut moved, now) != now {
            wait(&client.watch, &relay.clock);
        }
        if client.watch.late(context).is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    client.watch.client_until(None);
    Moved { inward: inward.moved, outward: outward.moved }
}

fn wait(watch: &Watched<'_>, clock: &Clock) {
    watch.client_until(Some(clock.now() + IDLE));
}
