//! A stream of HTTP/2: one request and its response. Frames, their coding and flow control are the `h2` crate's.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Response};

use crate::types::Pace;

use super::super::buffer::Buffer;
use super::super::clock::{Late, Watched};
use super::super::response_head::HeadOut;
use super::super::worker::Relay;
use super::peer::Peer;

/// One stream.
pub struct Stream<'w> {
    /// The other end of its connection.
    pub peer: Rc<Peer>,
    /// The deadlines.
    pub watch: Watched<'w>,
    body: RefCell<RecvStream>,
    /// Of the body what came and was not taken yet.
    waiting: RefCell<Bytes>,
    trailers: RefCell<Option<HeaderMap>>,
    out: RefCell<Out<'w>>,
    is_ended: Cell<bool>,
}

/// What is sent, before and after its head.
enum Out<'w> {
    Waiting(SendResponse<Buffer<'w>>),
    Begun(SendStream<Buffer<'w>>),
}

/// The stream is over: the client reset it, or its connection ended.
fn over(_: h2::Error) -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl<'w> Stream<'w> {
    /// A stream whose head was read.
    pub fn new(peer: Rc<Peer>, watch: Watched<'w>, body: RecvStream, respond: SendResponse<Buffer<'w>>) -> Self {
        Self {
            peer,
            watch,
            body: RefCell::new(body),
            waiting: RefCell::default(),
            trailers: RefCell::default(),
            out: RefCell::new(Out::Waiting(respond)),
            is_ended: Cell::new(false),
        }
    }

    /// Ends the stream at once.
    pub fn reset(&self, reason: Reason) {
        match &mut *self.out.borrow_mut() {
            Out::Waiting(respond) => respond.send_reset(reason),
            Out::Begun(stream) => stream.send_reset(reason),
        }
    }

    /// True once the client reset the stream, or its connection ended.
    pub(in crate::relay) fn is_gone(&self, context: &mut Context<'_>) -> bool {
        match &mut *self.out.borrow_mut() {
            Out::Waiting(respond) => respond.poll_reset(context).is_ready(),
            Out::Begun(stream) => stream.poll_reset(context).is_ready(),
        }
    }

    /// Puts what comes next of the body into `into`, at most `room` bytes; 0 is its end. The client may send as much more
    /// as was taken.
    pub(in crate::relay) fn poll_body(
        &self,
        context: &mut Context<'_>,
        into: &mut Buffer<'w>,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        let (mut body, mut waiting) = (self.body.borrow_mut(), self.waiting.borrow_mut());
        while waiting.is_empty() {
            match ready!(body.poll_data(context)) {
                Some(data) => *waiting = data.map_err(over)?,
                None => {
                    *self.trailers.borrow_mut() = ready!(body.poll_trailers(context)).map_err(over)?;
                    return Poll::Ready(Ok(0));
                }
            }
        }
        let part = waiting.len().min(room);
        let count = into.append(&waiting[..part]);
        waiting.advance(count);
        body.flow_control().release_capacity(count).map_err(over)?;
        Poll::Ready(Ok(count))
    }

    /// What came behind the body.
    pub(in crate::relay) fn take_trailers(&self) -> Option<HeaderMap> {
        self.trailers.borrow_mut().take()
    }

    /// Sends an interim response.
    ///
    /// # Errors
    /// When the stream is over.
    pub(super) fn interim(&self, head: HeadOut<'_>) -> io::Result<()> {
        let Some(response) = head.into_frame() else { return Ok(()) };
        match &mut *self.out.borrow_mut() {
            Out::Waiting(respond) => respond.send_informational(response).map_err(over),
            Out::Begun(_) => Ok(()),
        }
    }

    /// Sends the head of the response; `is_all` where nothing follows.
    ///
    /// # Errors
    /// When the stream is over.
    pub(in crate::relay) fn begin(&self, head: Response<()>, is_all: bool) -> io::Result<()> {
        let mut out = self.out.borrow_mut();
        if let Out::Waiting(respond) = &mut *out {
            let stream = respond.send_response(head, is_all).map_err(over)?;
            self.is_ended.set(is_all);
            *out = Out::Begun(stream);
        }
        Ok(())
    }

    /// Hands over what the client takes of `piece`; ready with how much that was. `is_last` where nothing follows it.
    pub(in crate::relay) fn poll_send(
        &self,
        relay: &'w Relay,
        piece: &mut Option<Buffer<'w>>,
        is_last: bool,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut out = self.out.borrow_mut();
        let Out::Begun(stream) = &mut *out else { return Poll::Ready(Ok(0)) };
        let Some(bytes) = piece.as_mut() else { return Poll::Ready(Ok(0)) };
        let length = bytes.data().len();
        stream.reserve_capacity(length);
        while stream.capacity() == 0 {
            match ready!(stream.poll_capacity(context)) {
                Some(capacity) => drop(capacity.map_err(over)?),
                None => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            }
        }
        let room = stream.capacity();
        if length <= room {
            let Some(whole) = piece.take() else { return Poll::Ready(Ok(0)) };
            stream.send_data(whole, is_last).map_err(over)?;
            self.is_ended.set(is_last);
            return Poll::Ready(Ok(length));
        }
        let mut part = relay.buffers.fit(room as u64);
        let count = part.append(&bytes.data()[..room]);
        bytes.used(count);
        stream.send_data(part, false).map_err(over)?;
        Poll::Ready(Ok(count))
    }

    /// Ends the response, where that was not said with its last bytes.
    ///
    /// # Errors
    /// When the stream is over.
    pub(in crate::relay) fn finish(&self, relay: &'w Relay, trailers: HeaderMap) -> io::Result<()> {
        if self.is_ended.replace(true) {
            return Ok(());
        }
        match &mut *self.out.borrow_mut() {
            Out::Begun(stream) if trailers.is_empty() => stream.send_data(relay.buffers.small(), true).map_err(over),
            Out::Begun(stream) => stream.send_trailers(trailers).map_err(over),
            Out::Waiting(_) => Ok(()),
        }
    }

    /// Sends a whole response.
    ///
    /// # Errors
    /// When the stream is over, or the client takes nothing for too long.
    pub(super) async fn send(&self, relay: &'w Relay, head: HeadOut<'_>, mut body: &[u8]) -> io::Result<()> {
        let Some(head) = head.into_frame() else { return Ok(()) };
        self.begin(head, body.is_empty())?;
        let (mut pace, mut piece) = (Pace::default(), None);
        while !body.is_empty() || piece.is_some() {
            let next = piece.get_or_insert_with(|| relay.buffers.fit(body.len() as u64));
            body = &body[next.append(body)..];
            let is_last = body.is_empty();
            let sent = poll_fn(|context| match self.poll_send(relay, &mut piece, is_last, context) {
                Poll::Pending => {
                    self.watch.client_until(Some(relay.wait(&mut pace)));
                    let late = self.watch.late(context) == Some(Late::Client);
                    if late { Poll::Ready(Err(io::ErrorKind::TimedOut.into())) } else { Poll::Pending }
                }
                ready @ Poll::Ready(_) => ready,
            });
            let sent = sent.await;
            self.watch.client_until(None);
            relay.moved(&mut pace, sent?);
        }
        Ok(())
    }
}

impl Buf for Buffer<'_> {
    fn remaining(&self) -> usize {
        self.data().len()
    }

    fn chunk(&self) -> &[u8] {
        self.data()
    }

    fn advance(&mut self, count: usize) {
        self.used(count);
    }
}
