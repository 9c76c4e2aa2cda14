//! A client's connection, lent to Pingora for one request (or for all of them, in HTTP/2).
//!
//! Pingora sees the bytes of that request and nothing behind it: what a client sends ahead stays here, a body in chunks
//! is checked before it is read, and one that comes too slowly ends in an error.

use std::future::Future as _;
use std::io;
use std::os::fd::AsRawFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
    UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Sleep;

use crate::http1::{Chunked, Form, Framing};
use crate::relay::Transport;

/// How long a body may flow below the least rate before it is cut off, as in Kestrel.
const GRACE: Duration = Duration::from_secs(5);
/// What is kept of requests that a client sends ahead.
const AHEAD_MAX: usize = 16 * 1024;

/// How the answer begins that opens a tunnel.
const SWITCHING: &[u8] = b"HTTP/1.1 101";

/// What Pingora may read.
#[derive(Debug)]
enum Share {
    /// Everything: HTTP/2, or a connection that becomes a tunnel.
    All,
    /// Nothing until the answer is 101, then everything.
    Tunnel,
    /// So many bytes more.
    Length(u64),
    /// To the last chunk.
    Chunks(Box<Chunked>),
}

/// The connection.
#[derive(Debug)]
pub(super) struct Lent {
    transport: Transport,
    /// Read, and Pingora's next.
    ready: Vec<u8>,
    /// Read, and not looked at yet.
    waiting: Vec<u8>,
    share: Share,
    min_rate: u64,
    inward: Rate,
    outward: Rate,
    /// Who waits for a tunnel to open.
    reader: Option<Waker>,
}

impl Lent {
    /// Lends everything, from `read` on.
    pub fn all(transport: Transport, read: &[u8]) -> Self {
        Self::new(transport, read, &[], Share::All, 0)
    }

    /// Lends one request: its head, and the body that follows it in `rest` and on the wire, at `min_rate` bytes a second.
    pub fn request(transport: Transport, head: &[u8], rest: &[u8], framing: Framing, min_rate: u64) -> Self {
        let share = match framing {
            Framing::None => Share::Length(0),
            Framing::Length(length) => Share::Length(length),
            Framing::Chunked => Share::Chunks(Box::new(Chunked::new(Form::Chunks))),
        };
        Self::new(transport, head, rest, share, min_rate)
    }

    /// Lends a connection that is to become a tunnel.
    pub fn tunnel(transport: Transport, head: &[u8], rest: &[u8]) -> Self {
        Self::new(transport, head, rest, Share::Tunnel, 0)
    }

    fn new(transport: Transport, ready: &[u8], waiting: &[u8], share: Share, min_rate: u64) -> Self {
        Self {
            transport,
            ready: ready.to_vec(),
            waiting: waiting.to_vec(),
            share,
            min_rate,
            inward: Rate::default(),
            outward: Rate::default(),
            reader: None,
        }
    }

    /// The connection again, and what was read ahead.
    pub fn take_back(self) -> (Transport, Vec<u8>) {
        (self.transport, self.waiting)
    }

    /// Bytes Pingora may still read beyond those that are ready; 0 when the request is over.
    fn allowed(&self) -> usize {
        match &self.share {
            Share::All => usize::MAX,
            Share::Tunnel => 0,
            Share::Length(left) => usize::try_from(*left).unwrap_or(usize::MAX),
            Share::Chunks(chunked) if chunked.is_done() => 0,
            Share::Chunks(_) => usize::MAX,
        }
    }

    /// Takes the first `count` bytes that wait into Pingora's share.
    fn share_out(&mut self, count: usize) -> io::Result<()> {
        let mut part: Vec<u8> = self.waiting.drain(..count).collect();
        match &mut self.share {
            Share::All | Share::Tunnel => self.ready = part,
            Share::Length(left) => {
                *left = left.saturating_sub(count as u64);
                self.ready = part;
            }
            Share::Chunks(chunked) => {
                let bad = |bad| io::Error::new(io::ErrorKind::InvalidData, bad);
                let rewritten = chunked.rewrite(&mut part).map_err(bad)?;
                let rest = part.split_off(rewritten.read.min(part.len()));
                self.waiting.splice(..0, rest);
                part.truncate(rewritten.written);
                part.extend_from_slice(chunked.ending());
                self.ready = part;
            }
        }
        Ok(())
    }

    /// The request is over: Pingora waits here for the client to leave. What it sends meanwhile is its next request.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.reader = Some(context.waker().clone());
        let mut bytes = [0; 512];
        while self.waiting.len() < AHEAD_MAX {
            let mut into = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.transport).poll_read(context, &mut into))?;
            if into.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.waiting.extend_from_slice(into.filled());
        }
        Poll::Pending
    }
}

/// How fast one direction moves; only the time in which the client was waited for counts.
#[derive(Debug, Default)]
struct Rate {
    waited: Duration,
    since: Option<Instant>,
    bytes: u64,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Rate {
    /// An error once the client fell below `least` bytes a second; 0 is none.
    fn poll(&mut self, least: u64, context: &mut Context<'_>) -> Poll<io::Error> {
        let Some(seconds) = self.bytes.checked_div(least) else { return Poll::Pending };
        let since = *self.since.get_or_insert_with(Instant::now);
        let allowed = (GRACE + Duration::from_secs(seconds.min(1 << 32))).saturating_sub(self.waited);
        let due = tokio::time::Instant::from_std(since + allowed);
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if alarm.deadline() != due {
            alarm.as_mut().reset(due);
        }
        ready!(alarm.as_mut().poll(context));
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    fn moved(&mut self, count: usize) {
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
            self.bytes += count as u64;
        }
    }
}

impl AsyncRead for Lent {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.ready.is_empty() {
                let count = this.ready.len().min(into.remaining());
                into.put_slice(&this.ready[..count]);
                this.ready.drain(..count);
                return Poll::Ready(Ok(()));
            }
            let allowed = this.allowed();
            if allowed == 0 {
                return this.poll_gone(context);
            }
            if !this.waiting.is_empty() {
                this.share_out(this.waiting.len().min(allowed))?;
                continue;
            }
            if let Share::All = this.share {
                return Pin::new(&mut this.transport).poll_read(context, into);
            }
            let room = into.remaining().min(allowed);
            let mut part = into.take(room);
            match Pin::new(&mut this.transport).poll_read(context, &mut part) {
                Poll::Ready(Ok(())) if part.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => {
                    this.waiting.extend_from_slice(part.filled());
                    let count = part.filled().len();
                    this.inward.moved(count);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return this.inward.poll(this.min_rate, context).map(Err),
            }
        }
    }
}

impl AsyncWrite for Lent {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if matches!(this.share, Share::Tunnel) && bytes.starts_with(SWITCHING) {
            this.share = Share::All;
            if let Some(reader) = this.reader.take() {
                reader.wake();
            }
        }
        match Pin::new(&mut this.transport).poll_write(context, bytes) {
            Poll::Ready(Ok(count)) => {
                this.outward.moved(count);
                Poll::Ready(Ok(count))
            }
            Poll::Pending => this.outward.poll(this.min_rate, context).map(Err),
            failed @ Poll::Ready(Err(_)) => failed,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_shutdown(context)
    }
}

#[async_trait]
impl Shutdown for Lent {
    async fn shutdown(&mut self) {
        // A client that is gone already needs no goodbye.
        let _ = AsyncWriteExt::shutdown(&mut self.transport).await;
    }
}

#[async_trait]
impl Peek for Lent {
    /// What was read before the connection was lent: enough for HTTP/2's preface, which is all Pingora looks at.
    async fn try_peek(&mut self, into: &mut [u8]) -> io::Result<bool> {
        let Some(start) = self.ready.get(..into.len()) else { return Ok(false) };
        into.copy_from_slice(start);
        Ok(true)
    }
}

impl UniqueID for Lent {
    fn id(&self) -> UniqueIDType {
        self.transport.socket().as_raw_fd()
    }
}

impl Ssl for Lent {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        let session = self.transport.tls()?;
        let cipher = session.negotiated_cipher_suite().map_or_else(String::new, |suite| format!("{:?}", suite.suite()));
        let version = session.protocol_version().map_or_else(String::new, |version| format!("{version:?}"));
        Some(Arc::new(SslDigest::new(cipher, version, None, None, Vec::new())))
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        match self.transport.tls()?.alpn_protocol()? {
            b"h2" => Some(ALPN::H2),
            _ => Some(ALPN::H1),
        }
    }
}

impl GetTimingDigest for Lent {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Lent {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Lent {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::new(SocketDigest::from_raw_fd(self.transport.socket().as_raw_fd())))
    }
}
