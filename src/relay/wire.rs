//! A connection's bytes, plain or under TLS, polled by a task that may read and write at once.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pingora::protocols::l4::ext::get_tcp_info;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// The stream under a connection.
#[derive(Debug)]
pub enum Transport {
    /// In the clear.
    Tcp(TcpStream),
    /// Under TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    /// The socket.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Tcp(socket) => socket,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// True under TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The TLS session.
    pub fn tls(&self) -> Option<&rustls::ServerConnection> {
        match self {
            Self::Tcp(_) => None,
            Self::Tls(stream) => Some(stream.get_ref().1),
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_read(context, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_write_vectored(context, parts),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// When a silent peer is asked whether it is there, how often, and how many times in vain before it is taken for gone.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);
const KEEPALIVE_TIMES: u32 = 4;
/// Parts that are written at once.
const AT_ONCE: usize = 8;

/// Nothing was written of something: the stream takes no more.
fn some(written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
    if let Poll::Ready(Ok(0)) = written { Poll::Ready(Err(io::ErrorKind::WriteZero.into())) } else { written }
}

/// A stream that one task reads and writes through a shared reference.
#[derive(Debug)]
pub struct Wire {
    transport: RefCell<Transport>,
    nodelay: Cell<bool>,
    written: Cell<u64>,
}

impl Wire {
    /// Of a stream.
    pub fn new(transport: Transport) -> Self {
        Self { transport: RefCell::new(transport), nodelay: Cell::new(false), written: Cell::new(0) }
    }

    /// Of the stream of an earlier wire, which sends small writes at once.
    pub fn again(transport: Transport) -> Self {
        Self { transport: RefCell::new(transport), nodelay: Cell::new(true), written: Cell::new(0) }
    }

    /// The stream again.
    pub fn into_transport(self) -> Transport {
        self.transport.into_inner()
    }

    /// True when nothing came: neither an end nor bytes nobody asked for.
    pub fn is_quiet(&self) -> bool {
        // Not by `poll_read`, which says that nothing came once a task has had its turn.
        let read = self.transport.borrow().socket().try_read(&mut [0; 1]);
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// True under TLS.
    pub fn is_tls(&self) -> bool {
        self.transport.borrow().is_tls()
    }

    /// Bytes written so far, in the clear.
    pub(super) fn written(&self) -> u64 {
        self.written.get()
    }

    /// True where the system knows that the peer acknowledged nothing that was written after the first `before` bytes. False
    /// where it does not say.
    pub(super) fn has_none_acknowledged_since(&self, before: u64) -> bool {
        // The connection's opening counts for one.
        let acknowledged = self.with_tcp(|socket| get_tcp_info(socket.as_raw_fd()).map(|info| info.tcpi_bytes_acked));
        acknowledged.is_ok_and(|acknowledged| acknowledged <= before + 1)
    }

    /// Has the system ask a silent peer whether it is still there.
    pub(super) fn keep_alive(&self) {
        let transport = self.transport.borrow();
        let socket = transport.socket();
        // A socket that refuses is found dead by its deadline.
        let _ = sockopt::set_socket_keepalive(socket, true);
        let _ = sockopt::set_tcp_keepidle(socket, KEEPALIVE_IDLE);
        let _ = sockopt::set_tcp_keepintvl(socket, KEEPALIVE_EVERY);
        let _ = sockopt::set_tcp_keepcnt(socket, KEEPALIVE_TIMES);
    }

    fn count(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(count)) = written {
            self.written.set(self.written.get() + *count as u64);
        }
    }

    /// Does something with the socket itself, beside what TLS may hold.
    pub(super) fn with_tcp<T>(&self, work: impl FnOnce(&TcpStream) -> T) -> T {
        work(self.transport.borrow().socket())
    }

    /// Sends small writes at once from now on.
    pub fn set_nodelay(&self) {
        if !self.nodelay.replace(true) {
            // A socket that refuses is about to fail anyway.
            let _ = self.transport.borrow().socket().set_nodelay(true);
        }
    }

    /// Drops what was not sent yet when this is dropped, and says so, as nginx's `reset_timedout_connection`.
    pub fn reset_on_close(&self) {
        // A socket that refuses is closed all the same.
        let _ = self.transport.borrow().socket().set_zero_linger();
    }

    /// Reads into `room`; 0 is the end.
    pub fn poll_read(&self, context: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut into = ReadBuf::new(room);
        ready!(Pin::new(&mut *self.transport.borrow_mut()).poll_read(context, &mut into))?;
        Poll::Ready(Ok(into.filled().len()))
    }

    /// Writes some of two parts, the first of them first.
    pub fn poll_write(&self, context: &mut Context<'_>, first: &[u8], then: &[u8]) -> Poll<io::Result<usize>> {
        let mut transport = self.transport.borrow_mut();
        let transport = Pin::new(&mut *transport);
        let written = some(if first.is_empty() {
            transport.poll_write(context, then)
        } else if then.is_empty() {
            transport.poll_write(context, first)
        } else {
            transport.poll_write_vectored(context, &[IoSlice::new(first), IoSlice::new(then)])
        });
        self.count(&written);
        written
    }

    /// Writes some of `parts`, from the byte at `from` on; 0 when that is the end of them.
    pub fn poll_write_from<'p>(
        &self,
        context: &mut Context<'_>,
        parts: impl Iterator<Item = &'p [u8]>,
        mut from: usize,
    ) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); AT_ONCE];
        let mut used = 0;
        for part in parts {
            let skipped = from.min(part.len());
            from -= skipped;
            if skipped < part.len() {
                slices[used] = IoSlice::new(&part[skipped..]);
                used += 1;
            }
            if used == AT_ONCE {
                break;
            }
        }
        match &slices[..used] {
            [] => Poll::Ready(Ok(0)),
            [only] => self.poll_write(context, only, &[]),
            several => {
                let written = some(Pin::new(&mut *self.transport.borrow_mut()).poll_write_vectored(context, several));
                self.count(&written);
                written
            }
        }
    }

    /// Hands over what TLS still holds.
    pub fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.transport.borrow_mut()).poll_flush(context)
    }

    /// Says that nothing more will be written.
    pub fn poll_shutdown(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.transport.borrow_mut()).poll_shutdown(context)
    }
}
