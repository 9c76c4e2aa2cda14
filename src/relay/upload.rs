//! A request's body on its way in: its end, its limit, its least rate.

use std::io::ErrorKind;
use std::task::{Context, Poll};

use crate::http1::{Chunked, Form, Framing};
use crate::types::Pace;

use super::Relay;
use super::buffer::Buffer;
use super::client::Client;
use super::clock::Late;
use super::fault::Fault;
use super::splice::Conduit;
use super::wire::Wire;

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

    /// Puts the next data behind what `into` holds, which must not be full. Ready without any once the body is done.
    pub fn poll_next<'w>(
        &mut self,
        relay: &'w Relay,
        client: &Client<'w>,
        context: &mut Context<'_>,
        into: &mut Buffer<'w>,
    ) -> Poll<Result<(), Fault>> {
        let before = into.data().len();
        while !self.done && into.data().len() == before {
            let room = into.data_room().len();
            let most = usize::try_from(self.left).unwrap_or(room);
            let room = if self.chunked.is_some() { room } else { room.min(most) };
            let waiting = self.take_waiting(client, into, room);
            let count = if waiting != 0 {
                waiting
            } else {
                match client.wire.poll_read(context, &mut into.data_room()[..room]) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Fault::ClientLeft)),
                    Poll::Ready(Ok(count)) => {
                        into.filled(count);
                        count
                    }
                    Poll::Pending => return self.poll_late(relay, client, context).map(Err),
                }
            };
            relay.moved(&mut self.pace, count);
            self.account(client, into, before, count)?;
        }
        client.watch.client_until(None);
        Poll::Ready(Ok(()))
    }

    /// A way to `backend` for what is left without a copy, where there is one and it is worth it.
    pub fn conduit<'w>(&self, relay: &'w Relay, client: &Client<'w>, backend: &Wire) -> Option<Conduit<'w>> {
        let is_plain = self.chunked.is_none() && client.input.borrow().is_none();
        is_plain.then(|| relay.pipes.between(&client.wire, backend, self.left)).flatten()
    }

    /// Puts the next data into `into`. False when the system does not do that.
    pub fn poll_splice<'w>(
        &mut self,
        relay: &'w Relay,
        client: &Client<'w>,
        context: &mut Context<'_>,
        into: &mut Conduit<'w>,
    ) -> Poll<Result<bool, Fault>> {
        match into.poll_fill(&client.wire, self.left, context) {
            Poll::Ready(Ok(count)) if count != 0 => {
                relay.moved(&mut self.pace, count);
                self.received += count as u64;
                self.left = self.left.saturating_sub(count as u64);
                self.done = self.left == 0;
                client.watch.client_until(None);
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
    fn poll_late<'w>(&mut self, relay: &'w Relay, client: &Client<'w>, context: &mut Context<'_>) -> Poll<Fault> {
        client.watch.client_until(Some(relay.wait(&mut self.pace)));
        match client.watch.late(context) {
            Some(Late::Client) => Poll::Ready(Fault::ClientSlow),
            Some(Late::Backend) | None => Poll::Pending,
        }
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

    /// Counts `count` bytes that were put into `into` behind `before` others, and leaves the data of them there.
    fn account<'w>(
        &mut self,
        client: &Client<'w>,
        into: &mut Buffer<'w>,
        before: usize,
        count: usize,
    ) -> Result<(), Fault> {
        if let Some(chunked) = &mut self.chunked {
            let came = into.data_mut().get_mut(before..).unwrap_or_default();
            let rewritten = chunked.rewrite(came).map_err(|bad| Fault::BadBody(bad.0))?;
            if rewritten.read < count {
                let mut input = client.input.borrow_mut();
                match input.as_mut() {
                    // They came from there, and more waits behind them.
                    Some(waiting) => waiting.give_back(count - rewritten.read),
                    None => *input = into.split_off(before + rewritten.read),
                }
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
