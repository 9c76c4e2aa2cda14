//! A client's connection of HTTP/1: its bytes and its deadlines.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::types::Pace;

use super::super::buffer::Buffer;
use super::super::clock::{Late, Watched};
use super::super::wire::Wire;
use super::super::worker::Relay;
use super::peer::Peer;

/// How long, and how much, is read of what nobody wants before a connection is closed (RFC 9112, section 9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 4 << 20;
/// What is read at a time while a client waits for its answer.
const PEEK: usize = 64;

/// A client's connection in its worker.
pub struct Client<'w> {
    /// The bytes.
    pub wire: Wire,
    /// The deadlines.
    pub watch: Watched<'w>,
    /// What was read and not used yet.
    pub input: RefCell<Option<Buffer<'w>>>,
    /// The other end.
    pub peer: Peer,
}

impl<'w> Client<'w> {
    /// True once the client closed its side. What else it says meanwhile is kept for its next request.
    pub(in crate::relay) fn is_gone(&self, relay: &'w Relay, context: &mut Context<'_>) -> bool {
        let mut bytes = [0; PEEK];
        loop {
            let mut input = self.input.borrow_mut();
            let room = input.as_mut().map_or(PEEK, |input| input.room().len()).min(PEEK);
            if room == 0 {
                return false;
            }
            match self.wire.poll_read(context, &mut bytes[..room]) {
                Poll::Pending => return false,
                Poll::Ready(Ok(0) | Err(_)) => return true,
                Poll::Ready(Ok(count)) => {
                    input.get_or_insert_with(|| relay.buffers.small()).append(&bytes[..count]);
                }
            }
        }
    }

    /// Puts what comes next into `into`, at most `room` bytes: first what was read with the head, or behind an earlier
    /// request.
    pub(in crate::relay) fn poll_body(
        &self,
        context: &mut Context<'_>,
        into: &mut Buffer<'w>,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        let waiting = self.take_waiting(into, room);
        if waiting != 0 {
            return Poll::Ready(Ok(waiting));
        }
        let count = ready!(self.wire.poll_read(context, &mut into.data_room()[..room]))?;
        into.filled(count);
        Poll::Ready(Ok(count))
    }

    fn take_waiting(&self, into: &mut Buffer<'_>, room: usize) -> usize {
        let mut input = self.input.borrow_mut();
        let Some(waiting) = input.as_mut() else { return 0 };
        let part = waiting.data().len().min(room);
        let moved = into.append(&waiting.data()[..part]);
        waiting.used(moved);
        if waiting.is_empty() {
            *input = None;
        }
        moved
    }

    /// The last `count` bytes of `into`, behind its first `kept`, belong to the next request.
    pub(in crate::relay) fn give_back(&self, into: &mut Buffer<'w>, kept: usize, count: usize) {
        let mut input = self.input.borrow_mut();
        match input.as_mut() {
            // They came from there, and more waits behind them.
            Some(waiting) => waiting.give_back(count),
            None => *input = into.split_off(kept),
        }
    }

    /// Sends all of two parts.
    ///
    /// # Errors
    /// When the client does not take them in time, or is gone.
    pub(in crate::relay) async fn send(&self, relay: &Relay, first: &[u8], then: &[u8]) -> io::Result<()> {
        let (mut pace, mut sent) = (Pace::default(), 0);
        let all = first.len() + then.len();
        let result = poll_fn(|context| {
            loop {
                let head = first.get(sent..).unwrap_or_default();
                let rest = then.get(sent.saturating_sub(first.len())..).unwrap_or_default();
                // TLS holds back what the socket does not take: that is waited for like a write.
                let moved = if sent < all {
                    self.wire.poll_write(context, head, rest)
                } else {
                    self.wire.poll_flush(context).map_ok(|()| 0)
                };
                match moved {
                    Poll::Ready(Ok(_)) if sent == all => return Poll::Ready(Ok(())),
                    Poll::Ready(Ok(count)) => {
                        relay.moved(&mut pace, count);
                        sent += count;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        self.watch.client_until(Some(relay.wait(&mut pace)));
                        let late = self.watch.late(context) == Some(Late::Client);
                        return if late { Poll::Ready(Err(io::ErrorKind::TimedOut.into())) } else { Poll::Pending };
                    }
                }
            }
        });
        let result = result.await;
        self.watch.client_until(None);
        result
    }

    /// Closes after a whole answer.
    pub async fn close(&self, relay: &Relay) {
        // Bytes that nobody read would reset the connection, and TLS says its own goodbye.
        if self.peer.scheme == "https" || self.input.borrow().is_some() || !self.wire.is_quiet() {
            self.linger(relay).await;
        }
    }

    /// Says goodbye, and reads on for a while where the client is still sending: closing at once would reset the
    /// connection, and the answer could be lost with it.
    pub async fn linger(&self, relay: &Relay) {
        let until = Instant::now() + LINGER;
        self.watch.client_until(Some(until));
        let mut left = LINGER_BYTES;
        let mut buffer = relay.buffers.small();
        let mut shut = false;
        poll_fn(|context| {
            if !shut {
                shut = self.wire.poll_shutdown(context).is_ready();
            }
            loop {
                buffer.clear(0);
                let read = self.wire.poll_read(context, buffer.room());
                if read.is_pending() && self.watch.late(context).is_some() {
                    return Poll::Ready(());
                }
                match ready!(read) {
                    Ok(count) if count != 0 && count < left => left -= count,
                    Ok(_) | Err(_) => return Poll::Ready(()),
                }
            }
        })
        .await;
        self.watch.client_until(None);
    }
}
