//! The connection to a backend for a WebSocket.
//!
//! Pingora mistakes the end of the upgrade request's own, empty body for the end of the tunnel when the 101 is read first
//! (cloudflare/pingora#946, open in 0.9.1): a fast backend's WebSocket then closes at once. On this connection the first
//! reads come to nothing, so that the end of the body, which waits beside them, is always taken first.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::l4::Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, ErrorType, OrErr, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// Reads that come to nothing. One is enough for the end of the body to be taken; the others are for a scheduler's whim.
const HELD_BACK: u8 = 3;

/// Opens connections whose first reads come to nothing.
#[derive(Debug)]
pub(super) struct UpgradeConnector {
    /// Deadline for opening one.
    pub timeout: Duration,
    /// Deadline for the first byte of the answer; a tunnel may then be silent for much longer.
    pub answer: Duration,
}

#[async_trait]
impl Connect for UpgradeConnector {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let Some(address) = address.as_inet() else {
            return Error::e_explain(ErrorType::ConnectError, "a backend has an IP address");
        };
        let connected = tokio::time::timeout(self.timeout, TcpStream::connect(address)).await;
        let stream = match connected.or_err(ErrorType::ConnectTimedout, "opening a WebSocket")? {
            Ok(stream) => stream,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Err(Error::because(ErrorType::ConnectRefused, "opening a WebSocket", error));
            }
            Err(error) => return Err(Error::because(ErrorType::ConnectError, "opening a WebSocket", error)),
        };
        let answer_by = Some(Box::pin(tokio::time::sleep(self.answer)));
        let late = LateReader { stream, held_back: HELD_BACK, answer_by };
        Ok(Stream::from(VirtualSocketStream::new(Box::new(late))))
    }
}

/// A connection whose first reads come to nothing.
#[derive(Debug)]
struct LateReader {
    stream: TcpStream,
    held_back: u8,
    /// Until the first byte is there.
    answer_by: Option<Pin<Box<Sleep>>>,
}

impl VirtualSocket for LateReader {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.stream.set_nodelay(true),
            // The tunnel's own deadline ends what is dead; other options may come.
            _ => Ok(()),
        }
    }
}

impl AsyncRead for LateReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.held_back != 0 {
            self.held_back -= 1;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.answer_by = None;
        } else if self.answer_by.as_mut().is_some_and(|sleep| sleep.as_mut().poll(context).is_ready()) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for LateReader {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
