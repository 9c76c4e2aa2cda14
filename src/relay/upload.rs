//! A request's body on its way in: its end, its limit, its least rate.

use std::task::{Context, Poll};

use crate::http1::{Chunked, Form, Framing};

use super::Relay;
use super::buffer::Buffer;
use super::client::Client;
use super::clock::Late;
use super::fault::Fault;
use super::pace::Pace;

/// A body as it comes.
#[derive(Debug)]
pub(super) struct Upload {
    left: u64,
    chunked: Option<Chunked>,
    /// Bytes of data so far.
    pub received: u64,
    limit: Option<u64>,
    done: bool,
    pace: Pace,
}

impl Upload {
    /// A body of which nothing was read yet.
    pub fn new(framing: Framing, limit: Option<u64>) -> Self {
        let (left, chunked, done) = match framing {
            Framing::None => (0, None, true),
            Framing::Length(length) => (length, None, false),
            Framing::Chunked => (0, Some(Chunked::new(Form::Data)), false),
        };
        Self { left, chunked, received: 0, limit, done, pace: Pace::default() }
    }

    /// True once all of it was read.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// What ends a body in chunks, once all of it was read.
    pub fn ending(&self) -> &[u8] {
        self.chunked.as_ref().map_or(b"", Chunked::ending)
    }

    /// Puts the next data into the room of `into`; ready without any once the body is done.
    pub fn poll_next<'w>(
        &mut self,
        relay: &'w Relay,
        client: &Client<'w>,
        context: &mut Context<'_>,
        into: &mut Buffer<'w>,
    ) -> Poll<Result<(), Fault>> {
        while !self.done && into.is_empty() {
            let room = into.room().len();
            // Two bytes stay free for the end of a chunk.
            let most = usize::try_from(self.left).unwrap_or(room);
            let room = if self.chunked.is_some() { room.saturating_sub(2) } else { room.min(most) };
            let waiting = self.take_waiting(client, into, room);
            let count = if waiting != 0 {
                waiting
            } else {
                match client.wire.poll_read(context, &mut into.room()[..room]) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Fault::ClientLeft)),
                    Poll::Ready(Ok(count)) => {
                        into.filled(count);
                        count
                    }
                    Poll::Pending => {
                        client.watch.client_until(Some(self.pace.wait(relay)));
                        if client.watch.late(context) == Some(Late::Client) {
                            return Poll::Ready(Err(Fault::ClientSlow));
                        }
                        return Poll::Pending;
                    }
                }
            };
            self.pace.moved(relay, count);
            self.account(client, into, count)?;
        }
        client.watch.client_until(None);
        Poll::Ready(Ok(()))
    }

    /// Moves what was read with the head, or behind an earlier request.
    fn take_waiting(&self, client: &Client<'_>, into: &mut Buffer<'_>, room: usize) -> usize {
        let mut input = client.input.borrow_mut();
        let Some(waiting) = input.as_mut() else { return 0 };
        let part = waiting.data().len().min(room);
        let moved = into.append(&waiting.data()[..part]);
        waiting.used(moved);
        if waiting.is_empty() {
            *input = None;
        }
        moved
    }

    /// Counts `count` bytes that were put into `into`, and leaves the data of them there.
    fn account<'w>(&mut self, client: &Client<'w>, into: &mut Buffer<'w>, count: usize) -> Result<(), Fault> {
        if let Some(chunked) = &mut self.chunked {
            let rewritten = chunked.rewrite(into.data_mut()).map_err(|bad| Fault::BadBody(bad.0))?;
            if rewritten.read < count {
                // Nothing else waits: what waited was taken before anything was read.
                *client.input.borrow_mut() = into.split_off(rewritten.read);
            }
            into.truncate(rewritten.written);
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
