//! Large bodies from one socket to another inside the kernel: splice(2), through a pipe, without a copy here.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::wire::Wire;

/// Bodies of which at least so much is left go this way, bytes; less is cheaper to copy.
pub(super) const WORTHWHILE: u64 = 64 * 1024;
/// Most that is moved at once, bytes: all that a pipe can hold of large pages.
const AT_ONCE: usize = 512 * 1024;
/// Pipes of all workers together: each is two of the files that the front door keeps for other things than clients.
pub const PIPES: usize = 64;

/// A worker's pipes.
#[derive(Debug)]
pub struct Pipes {
    spare: RefCell<Vec<Pipe>>,
    open: Cell<usize>,
    most: usize,
    /// The system does not do it.
    refused: Cell<bool>,
}

#[derive(Debug)]
struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

/// One body's way through a pipe. The pipe goes back to the worker when this is dropped, or is closed if it holds something.
#[derive(Debug)]
pub(super) struct Conduit<'w> {
    home: &'w Pipes,
    pipe: Option<Pipe>,
    held: usize,
}

impl Pipes {
    /// At most so many at a time; further bodies are copied.
    pub(super) fn new(most: usize) -> Self {
        Self { spare: RefCell::default(), open: Cell::new(0), most, refused: Cell::new(false) }
    }

    /// A way from one connection to another for a body of which `left` bytes are left; `None` where it has to be copied.
    pub(super) fn between(&self, from: &Wire, to: &Wire, left: u64) -> Option<Conduit<'_>> {
        if left < WORTHWHILE || self.refused.get() || from.is_tls() || to.is_tls() {
            return None;
        }
        let spare = self.spare.borrow_mut().pop();
        let pipe = match spare {
            Some(pipe) => pipe,
            None if self.most <= self.open.get() => return None,
            None => {
                let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
                self.open.set(self.open.get() + 1);
                Pipe { reader, writer }
            }
        };
        Some(Conduit { home: self, pipe: Some(pipe), held: 0 })
    }

    /// From now on everything is copied.
    pub(super) fn refuse(&self) {
        self.refused.set(true);
    }
}

impl Conduit<'_> {
    /// True when all that came in went out.
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Takes up to `most` bytes from a connection; 0 is its end. It has to be empty.
    ///
    /// # Errors
    /// Those of the connection, and `Unsupported` when the system does not do it: then nothing was taken.
    pub fn poll_fill(&mut self, from: &Wire, most: u64, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(pipe) = &self.pipe else { return Poll::Ready(Err(io::ErrorKind::Unsupported.into())) };
        let most = usize::try_from(most).unwrap_or(AT_ONCE).min(AT_ONCE);
        let moved = from
            .with_tcp(|socket| poll_io(socket, Interest::READABLE, context, || transfer(socket, &pipe.writer, most)));
        match ready!(moved) {
            Ok(count) => {
                self.held += count;
                Poll::Ready(Ok(count))
            }
            // A sandbox may forbid the call itself.
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied) => {
                Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Passes on some of what came in.
    pub fn poll_drain(&mut self, to: &Wire, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(pipe) = &self.pipe else { return Poll::Ready(Ok(0)) };
        let held = self.held;
        let moved =
            to.with_tcp(|socket| poll_io(socket, Interest::WRITABLE, context, || transfer(&pipe.reader, socket, held)));
        let count = ready!(moved)?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.held = held.saturating_sub(count);
        Poll::Ready(Ok(count))
    }
}

fn transfer(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    Ok(splice(from, None, to, None, most, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)?)
}

/// Does `work` as soon as the socket is ready for it.
fn poll_io(
    socket: &TcpStream,
    interest: Interest,
    context: &mut Context<'_>,
    work: impl Fn() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        if interest.is_readable() {
            ready!(socket.poll_read_ready(context))?;
        } else {
            ready!(socket.poll_write_ready(context))?;
        }
        match socket.try_io(interest, &work) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return Poll::Ready(done),
        }
    }
}

impl Drop for Conduit<'_> {
    fn drop(&mut self) {
        match self.pipe.take() {
            Some(pipe) if self.held == 0 => self.home.spare.borrow_mut().push(pipe),
            // What it holds must not reach another client.
            Some(_) => self.home.open.set(self.home.open.get().saturating_sub(1)),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::wire::Transport;
    use super::*;

    async fn connection() -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Wire::new(Transport::Tcp(ours)), listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn every_byte_arrives_and_the_end_is_seen() {
        let ((from, mut sender), (to, mut receiver)) = (connection().await, connection().await);
        let sent: Vec<u8> = (0..3_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let body = sent.clone();
        let sending = async move { sender.write_all(&body).await.map(|()| drop(sender)) };
        let receiving = async move {
            let mut got = Vec::new();
            receiver.read_to_end(&mut got).await.map(|_| got)
        };
        let pipes = Pipes::new(1);
        let moving = async {
            let mut conduit = pipes.between(&from, &to, WORTHWHILE).unwrap();
            while poll_fn(|context| conduit.poll_fill(&from, u64::MAX, context)).await? != 0 {
                while !conduit.is_empty() {
                    poll_fn(|context| conduit.poll_drain(&to, context)).await?;
                }
            }
            drop(to);
            io::Result::Ok(())
        };
        let ((), (), got) = tokio::try_join!(sending, moving, receiving).unwrap();
        assert!(got == sent);
        assert!(pipes.between(&from, &from, WORTHWHILE).is_some(), "an empty pipe is used again");
    }

    #[tokio::test]
    async fn what_a_pipe_still_holds_goes_with_it() {
        let ((from, mut sender), (to, _receiver)) = (connection().await, connection().await);
        let pipes = Pipes::new(1);
        let mut conduit = pipes.between(&from, &to, WORTHWHILE).unwrap();
        sender.write_all(b"for nobody else").await.unwrap();
        assert_eq!(poll_fn(|context| conduit.poll_fill(&from, 100, context)).await.unwrap(), 15);
        assert!(pipes.between(&from, &to, WORTHWHILE).is_none(), "there is no second one");
        drop(conduit);
        assert!(pipes.spare.borrow().is_empty());
        assert!(pipes.between(&from, &to, WORTHWHILE).unwrap().is_empty());
    }

    #[tokio::test]
    async fn little_is_copied_and_so_is_everything_where_the_system_refuses() {
        let (wire, _peer) = connection().await;
        let pipes = Pipes::new(1);
        assert!(pipes.between(&wire, &wire, WORTHWHILE - 1).is_none());
        pipes.refuse();
        assert!(pipes.between(&wire, &wire, WORTHWHILE).is_none());
    }
}
