//! A client's connection as Pingora sees it, for one request.
//!
//! Pingora sees the bytes of that request and nothing behind it: what a client sends ahead stays here, a body in chunks
//! is checked before it is read, and one that comes too slowly ends in an error.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
    UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::http1::{Chunked, ChunkedForm, Framing};
use crate::relay::Transport;
use crate::types::PaceLimits;

use super::stream_deadline::StreamDeadline;

/// Parts that are written at once.
const PARTS: usize = 16;
/// What is kept of requests that a client sends ahead.
const AHEAD_MAX: usize = 16 * 1024;
/// How an answer begins, and one that is not the last.
const ANSWER: &[u8] = b"HTTP/1.";
const INTERIM: &[u8] = b"HTTP/1.1 1";

/// What Pingora may read.
enum Share {
    /// So many bytes more.
    Length(u64),
    /// To the last chunk.
    Chunks(Box<Chunked>),
}

/// The connection.
pub(super) struct PingoraStream {
    transport: Transport,
    peer: SocketAddr,
    /// Read, and Pingora's next.
    ready: Vec<u8>,
    /// Read, and not looked at yet.
    waiting: Vec<u8>,
    /// A head written by Pingora, which goes with the body that is there already: else each answer would be two packets. It
    /// goes alone as soon as Pingora waits for that, and reads here meanwhile.
    unsent: Vec<u8>,
    /// The answer's head came: what follows is not another, whatever it looks like.
    is_answered: bool,
    share: Share,
    /// The body was found malformed.
    is_malformed: bool,
    inward: StreamDeadline,
    outward: StreamDeadline,
}

/// A connection that Pingora is to serve.
pub(super) struct StreamParts {
    /// Its bytes.
    pub transport: Transport,
    /// Who is at the other end.
    pub peer: SocketAddr,
    /// How fast that one has to be.
    pub pace: PaceLimits,
}

impl PingoraStream {
    /// Lends one request: its head, and the body that follows it in `rest` and on the wire.
    pub fn request(parts: StreamParts, head: &[u8], rest: &[u8], framing: Framing) -> Self {
        let share = match framing {
            Framing::None => Share::Length(0),
            Framing::Length(length) => Share::Length(length),
            Framing::Chunked => Share::Chunks(Box::new(Chunked::new(ChunkedForm::Chunks))),
        };
        Self::new(parts, head, rest, share)
    }

    fn new(parts: StreamParts, ready: &[u8], waiting: &[u8], share: Share) -> Self {
        Self {
            transport: parts.transport,
            peer: parts.peer,
            ready: ready.to_vec(),
            waiting: waiting.to_vec(),
            unsent: Vec::new(),
            is_answered: false,
            share,
            is_malformed: false,
            inward: StreamDeadline::new(parts.pace),
            outward: StreamDeadline::new(parts.pace),
        }
    }

    /// The connection again, and what was read ahead.
    pub fn take_back(self) -> (Transport, Vec<u8>) {
        (self.transport, self.waiting)
    }

    /// Bytes Pingora may still read beyond those that are ready; 0 when the request is over.
    fn allowed(&self) -> usize {
        match &self.share {
            Share::Length(left) => usize::try_from(*left).unwrap_or(usize::MAX),
            Share::Chunks(chunked) if chunked.is_done() => 0,
            Share::Chunks(_) => usize::MAX,
        }
    }

    /// Takes the first `count` bytes that wait into Pingora's share.
    fn share_out(&mut self, count: usize) -> io::Result<()> {
        let mut part: Vec<u8> = self.waiting.drain(..count).collect();
        match &mut self.share {
            Share::Length(left) => {
                *left = left.saturating_sub(count as u64);
                self.ready = part;
            }
            Share::Chunks(chunked) => {
                let rewritten = chunked.rewrite(&mut part).map_err(|bad| {
                    // What follows is not read any more: nobody could say what it is.
                    self.is_malformed = true;
                    io::Error::new(io::ErrorKind::InvalidData, bad)
                })?;
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

    /// Sends what waits, then `more`; ready with how much of that went once nothing waits.
    fn poll_send(&mut self, context: &mut Context<'_>, more: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            let mut parts = [IoSlice::new(&[]); PARTS];
            let unsent = (!self.unsent.is_empty()).then(|| IoSlice::new(&self.unsent));
            let all = unsent.into_iter().chain(more.iter().copied()).filter(|part| !part.is_empty());
            let used = parts.iter_mut().zip(all).map(|(slot, part)| *slot = part).count();
            let transport = Pin::new(&mut self.transport);
            let polled = match &parts[..used] {
                [] => return Poll::Ready(Ok(0)),
                [only] => transport.poll_write(context, only),
                several => transport.poll_write_vectored(context, several),
            };
            let count = ready!(self.poll_outward(polled, context))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let waited = self.unsent.len();
            self.unsent.drain(..count.min(waited));
            if waited < count {
                return Poll::Ready(Ok(count - waited));
            }
        }
    }

    /// The same, or an error where the client takes nothing for too long.
    fn poll_outward(&mut self, polled: Poll<io::Result<usize>>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match polled {
            Poll::Ready(Ok(count)) => {
                self.outward.moved(count);
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.outward.poll(context).map(Err),
        }
    }
}

impl AsyncRead for PingoraStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.unsent.is_empty()
            && let Poll::Ready(Err(error)) = this.poll_send(context, &[])
        {
            return Poll::Ready(Err(error));
        }
        if this.is_malformed {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
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
                Poll::Pending => return this.inward.poll(context).map(Err),
            }
        }
    }
}

impl AsyncWrite for PingoraStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let first: &[u8] = parts.iter().find(|part| !part.is_empty()).map_or(b"", |part| part);
        if !this.is_answered && this.unsent.is_empty() && first.starts_with(ANSWER) {
            this.is_answered = !first.starts_with(INTERIM);
            this.unsent.extend_from_slice(first);
            return Poll::Ready(Ok(first.len()));
        }
        let count = ready!(this.poll_send(context, parts))?;
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(context, &[]))?;
        let polled = Pin::new(&mut this.transport).poll_flush(context).map_ok(|()| 0);
        this.poll_outward(polled, context).map_ok(drop)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(context))?;
        let this = self.get_mut();
        let polled = Pin::new(&mut this.transport).poll_shutdown(context).map_ok(|()| 0);
        this.poll_outward(polled, context).map_ok(drop)
    }
}

impl std::fmt::Debug for PingoraStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PingoraStream").field("peer", &self.peer).finish_non_exhaustive()
    }
}

#[async_trait]
impl Shutdown for PingoraStream {
    async fn shutdown(&mut self) {
        // A client that is gone already needs no goodbye.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

#[async_trait]
impl Peek for PingoraStream {
    /// What was read before: enough for HTTP/2's preface, which is all Pingora looks at.
    async fn try_peek(&mut self, into: &mut [u8]) -> io::Result<bool> {
        let Some(start) = self.ready.get(..into.len()) else { return Ok(false) };
        into.copy_from_slice(start);
        Ok(true)
    }
}

impl UniqueID for PingoraStream {
    fn id(&self) -> UniqueIDType {
        self.transport.socket().as_raw_fd()
    }
}

impl Ssl for PingoraStream {
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

impl GetTimingDigest for PingoraStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for PingoraStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for PingoraStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        let digest = SocketDigest::from_raw_fd(self.transport.socket().as_raw_fd());
        // Known, and not to be asked of the system for each request. It is new: nothing is set.
        let _ = digest.peer_addr.set(Some(self.peer.into()));
        Some(Arc::new(digest))
    }
}
