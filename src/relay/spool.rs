//! What of a request's body waits here before a backend is asked, so that a slow client holds no worker of it.

use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::OwnedSemaphorePermit;

use super::buffer::{Buffer, HEADROOM};
use super::client::Downstream;
use super::fault::Fault;
use super::upload::Upload;
use super::worker::Relay;

/// The parts of a body that came so far, as they go on the wire. Their memory is everyone's again when this is dropped.
#[derive(Default)]
pub(super) struct Spool<'w> {
    pieces: Vec<Buffer<'w>>,
    memory: Option<OwnedSemaphorePermit>,
}

impl<'w> Spool<'w> {
    /// The bytes, in order.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(Buffer::data)
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.parts().map(|part| part.len() as u64).sum()
    }

    /// Takes in what comes, up to `most` bytes or a part more. Ready when that is reached, the body ends, or there is no
    /// memory to wait in: then the rest streams.
    pub fn poll_fill(
        &mut self,
        relay: &'w Relay,
        client: Downstream<'_, 'w>,
        upload: &mut Upload,
        most: u64,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        while !upload.is_done() {
            let left = most.saturating_sub(self.len());
            if left == 0 {
                break;
            }
            if self.pieces.last().is_none_or(Buffer::is_full) {
                let Some(another) = self.more(relay, left) else { break };
                self.pieces.push(another);
            }
            let Some(last) = self.pieces.last_mut() else { break };
            match upload.poll_next(relay, client, context, last) {
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Another piece, for `left` bytes or a part of them. As the body grows, and not as it says it will: what is promised
    /// slowly takes nothing from others.
    fn more(&mut self, relay: &'w Relay, left: u64) -> Option<Buffer<'w>> {
        let mut piece = relay.buffers.fit(left);
        let kib = u32::try_from(piece.room().len().div_ceil(1024)).unwrap_or(u32::MAX);
        let more = Arc::clone(&relay.shared.memory).try_acquire_many_owned(kib).ok()?;
        match &mut self.memory {
            Some(memory) => memory.merge(more),
            None => self.memory = Some(more),
        }
        piece.clear(HEADROOM);
        Some(piece)
    }

    /// Puts a small body behind the head it goes with: one part is written sooner than two.
    pub fn join(&mut self, head: &mut Vec<u8>) {
        const SMALL: u64 = 4096;
        if self.len() <= SMALL {
            self.parts().for_each(|part| head.extend_from_slice(part));
            *self = Self::default();
        }
    }

    /// Makes all of it one chunk.
    pub fn make_chunk(&mut self) {
        let length = self.len();
        if length == 0 {
            return;
        }
        if let Some(first) = self.pieces.first_mut() {
            first.begin_chunk(length);
        }
        if let Some(last) = self.pieces.last_mut() {
            last.end_chunk();
        }
    }
}
