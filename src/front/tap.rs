//! The bytes of a connection of HTTP/2, watched: a flood of frames ends it, and so does a client that takes nothing.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::relay::{Buffer, Transport};
use crate::types::{Pace, PaceLimits};

use super::frames::{Frames, PREFACE};

/// What is known of the bytes of a connection.
pub(super) struct State {
    limits: PaceLimits,
    frames: RefCell<Frames>,
    has_flooded: Cell<bool>,
    pace: RefCell<Pace>,
    due: Cell<Option<Instant>>,
}

impl State {
    pub fn new(limits: PaceLimits) -> Self {
        Self {
            // Streams have rates of their own.
            limits: PaceLimits { min_rate: 0, ..limits },
            frames: RefCell::default(),
            has_flooded: Cell::new(false),
            pace: RefCell::default(),
            due: Cell::new(None),
        }
    }

    /// True once the client sent next to nothing but frames of control.
    pub fn has_flooded(&self) -> bool {
        self.has_flooded.get()
    }

    /// By when the client has to take what is written.
    pub fn due(&self) -> Option<Instant> {
        self.due.get()
    }

    fn came(&self, bytes: &[u8]) -> io::Result<()> {
        if self.frames.borrow_mut().came(bytes) {
            self.has_flooded.set(true);
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a flood of frames"));
        }
        Ok(())
    }

    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => self.due.set(Some(self.pace.borrow_mut().wait(self.limits, Instant::now))),
            Poll::Ready(Ok(count)) => {
                self.due.set(None);
                self.pace.borrow_mut().moved(*count, Instant::now);
            }
            Poll::Ready(Err(_)) => {}
        }
    }
}

/// The bytes.
pub(super) struct Tap<'w> {
    transport: Transport,
    /// What was read before it was known that this is HTTP/2.
    read: Option<Buffer<'w>>,
    state: Rc<State>,
}

impl<'w> Tap<'w> {
    /// From `read` on, which begins with the preface.
    pub fn new(transport: Transport, read: Option<Buffer<'w>>, state: Rc<State>) -> Self {
        if let Some(read) = &read {
            // It is too little to be a flood.
            let _ = state.came(read.data().get(PREFACE.len()..).unwrap_or_default());
        }
        Self { transport, read, state }
    }
}

impl AsyncRead for Tap<'_> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(read) = &mut this.read {
            let count = read.data().len().min(into.remaining());
            into.put_slice(&read.data()[..count]);
            read.used(count);
            if read.is_empty() {
                this.read = None;
            }
            return Poll::Ready(Ok(()));
        }
        let before = into.filled().len();
        ready!(Pin::new(&mut this.transport).poll_read(context, into))?;
        Poll::Ready(this.state.came(into.filled().get(before..).unwrap_or_default()))
    }
}

impl AsyncWrite for Tap<'_> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.transport).poll_write_vectored(context, parts);
        this.state.wrote(&written);
        if let Poll::Ready(Ok(count)) = &written {
            let mut left = *count;
            let mut frames = this.state.frames.borrow_mut();
            for part in parts {
                frames.went(&part[..part.len().min(left)]);
                left = left.saturating_sub(part.len());
            }
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.transport).poll_flush(context).map_ok(|()| 0);
        this.state.wrote(&flushed);
        flushed.map_ok(drop)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_shutdown(context)
    }
}
