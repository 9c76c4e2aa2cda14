//! A response on its way to the client, while what is left of the request may still be on its way to the backend.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::task::{Context, Poll, ready};

use http::HeaderMap;

use crate::types::Pace;
use crate::upstream::Failure;

use super::attempt::BackendResponse;
use super::body::Body;
use super::buffer::{Buffer, HEADROOM};
use super::client::{Downstream, Stream};
use super::clock::Late;
use super::deadlines::Deadlines;
use super::fault::Fault;
use super::heads::ResponseBodyOut;
use super::response_head::{self, HeadOut};
use super::sending::{Outgoing, Sending};
use super::splice::Conduit;
use super::wire::Wire;
use super::worker::Relay;

/// How a delivery went.
pub(super) struct Delivered {
    /// Bytes of data the client was sent.
    pub data: u64,
    pub result: Result<(), Fault>,
    /// The connection to the backend, where it may be used again.
    pub reusable: Option<Wire>,
    /// True when any byte went out.
    pub begun: bool,
}

/// What is written: the head, then a part of the body, then its ending.
struct Writing<'w> {
    head: Option<HeadOut<'w>>,
    /// Of it, in HTTP/1.
    head_sent: usize,
    ending_sent: usize,
    piece: Option<Buffer<'w>>,
    /// The way of a large body, beside `piece`.
    conduit: Option<Conduit<'w>>,
    pace: Pace,
    begun: bool,
}

impl<'w> Writing<'w> {
    /// Writes all that is ready.
    fn poll(
        &mut self,
        relay: &'w Relay,
        client: Downstream<'_, 'w>,
        body: &Body,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        let polled = match client {
            Downstream::Http1(client) => self.poll_text(relay, &client.wire, body, context),
            Downstream::Http2(stream) => self.poll_frames(relay, stream, body, context),
        };
        if polled.is_pending() {
            client.watch().client_until(Some(relay.wait(&mut self.pace)));
            client.watch().backend_until(None);
        }
        polled.map_err(|_| Fault::ClientLeft)
    }

    fn poll_frames(
        &mut self,
        relay: &'w Relay,
        stream: &Stream<'w>,
        body: &Body,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let is_empty = self.piece.as_ref().is_none_or(Buffer::is_empty);
        let trailers = if body.done { response_head::trailers(body.trailer_section()) } else { HeaderMap::new() };
        let ends = body.done && trailers.is_empty();
        if let Some(head) = self.head.take().and_then(HeadOut::into_frame) {
            stream.begin(head, ends && is_empty)?;
            self.begun = true;
        }
        while self.piece.as_ref().is_some_and(|piece| !piece.is_empty()) {
            let count = ready!(stream.poll_send(relay, &mut self.piece, ends, context))?;
            relay.moved(&mut self.pace, count);
        }
        if body.done {
            stream.finish(relay, trailers)?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_text(
        &mut self,
        relay: &'w Relay,
        wire: &Wire,
        body: &Body,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let head = self.head.as_ref().map_or(&b""[..], HeadOut::text);
            let head = head.get(self.head_sent..).unwrap_or_default();
            let piece = self.piece.as_ref().map_or(&b""[..], Buffer::data);
            let ending = body.ending().get(self.ending_sent..).unwrap_or_default();
            let (first, then) = match (head.is_empty(), piece.is_empty()) {
                (false, false) => (head, piece),
                (false, true) => (head, ending),
                (true, _) => (piece, ending),
            };
            // TLS holds back what the socket does not take: that is waited for like a write.
            let done = first.is_empty() && then.is_empty();
            let (heads, pieces) = (head.len(), piece.len());
            let mut conduit = self.conduit.as_mut().filter(|conduit| done && !conduit.is_empty());
            let write = match &mut conduit {
                Some(conduit) => conduit.poll_drain(wire, context),
                None if done => wire.poll_flush(context).map_ok(|()| 0),
                None => wire.poll_write(context, first, then),
            };
            let count = ready!(write)?;
            relay.moved(&mut self.pace, count);
            match conduit {
                Some(_) => continue,
                None if done => return Poll::Ready(Ok(())),
                None => {}
            }
            let of_head = count.min(heads);
            let of_piece = (count - of_head).min(pieces);
            self.begun = true;
            self.head_sent += of_head;
            self.ending_sent += count - of_head - of_piece;
            if let Some(piece) = &mut self.piece {
                piece.used(of_piece);
            }
        }
    }
}

/// Sends head and body of an answer.
pub(super) async fn deliver<'w>(
    relay: &'w Relay,
    client: Downstream<'_, 'w>,
    answered: BackendResponse<'w>,
    head: HeadOut<'w>,
    out: ResponseBodyOut,
    outgoing: &mut Outgoing<'w>,
    deadlines: Deadlines,
) -> Delivered {
    let BackendResponse { wire, mut bytes, head: parsed, sending } = answered;
    let mut body = Body::new(parsed.framing, out);
    bytes.used(parsed.length);
    let first = body.take(&mut bytes);
    let writing = Writing {
        head: Some(head),
        head_sent: 0,
        ending_sent: 0,
        piece: Some(bytes),
        conduit: None,
        pace: Pace::default(),
        begun: false,
    };
    let mut delivery = Delivery { relay, client, wire, body, writing, sending, outgoing, deadlines, is_reading: false };
    let result = match first {
        Err(failure) => Err(Fault::Backend(failure)),
        Ok(()) => poll_fn(|context| delivery.poll(context)).await,
    };
    client.watch().client_until(None);
    client.watch().backend_until(None);
    let Delivery { wire, body, writing, sending, outgoing, .. } = delivery;
    let clean = result.is_ok() && !body.stray && parsed.keep_alive && sending.is_settled() && outgoing.upload.is_done();
    relay.give_response_head(parsed);
    Delivered { data: body.data, result, reusable: clean.then_some(wire), begun: writing.begun }
}

/// A delivery under way.
struct Delivery<'d, 'w> {
    relay: &'w Relay,
    client: Downstream<'d, 'w>,
    wire: Wire,
    body: Body,
    writing: Writing<'w>,
    sending: Sending<'w>,
    outgoing: &'d mut Outgoing<'w>,
    deadlines: Deadlines,
    /// The backend is waited for since its last byte.
    is_reading: bool,
}

impl Delivery<'_, '_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let (relay, client) = (self.relay, self.client);
        loop {
            if !self.sending.is_settled()
                && let Poll::Ready(Err(fault)) =
                    self.sending.poll(relay, client, &self.wire, self.outgoing, self.deadlines, context)
            {
                return Poll::Ready(Err(fault));
            }
            match self.writing.poll(relay, client, &self.body, context) {
                Poll::Ready(Ok(())) if self.body.done => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                Poll::Pending => return late(client, context),
            }
            // What is sent in several parts must not wait for an acknowledgement of the first.
            client.set_nodelay();
            match self.poll_piece(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                Poll::Pending => return self.wait_for_piece(context),
            }
        }
    }

    /// Reads the next part of the answer.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if self.writing.conduit.is_none()
            && let Some(left) = self.body.left_as_it_comes()
            && let Some(client) = self.client.plain_wire()
        {
            self.writing.conduit = self.relay.pipes.between(&self.wire, client, left);
        }
        if let Some(conduit) = &mut self.writing.conduit {
            self.writing.piece = None;
            match conduit.poll_fill(&self.wire, self.body.left, context) {
                Poll::Pending => {
                    // It is empty, and others may need it meanwhile.
                    self.writing.conduit = None;
                    return Poll::Pending;
                }
                Poll::Ready(Ok(count)) if count != 0 => {
                    self.is_reading = false;
                    self.body.passed(count);
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Err(error)) if error.kind() == ErrorKind::Unsupported => {
                    self.relay.pipes.refuse();
                    self.writing.conduit = None;
                }
                Poll::Ready(_) => return Poll::Ready(Err(Fault::Backend(Failure::Reset))),
            }
        }
        let mut piece = self.writing.piece.take().unwrap_or_else(|| self.relay.buffers.large());
        piece.clear(HEADROOM);
        match ready!(self.wire.poll_read(context, piece.data_room())) {
            Ok(0) => self.body.end().map_err(Fault::Backend)?,
            Err(_) => return Poll::Ready(Err(Fault::Backend(Failure::Reset))),
            Ok(count) => {
                self.is_reading = false;
                piece.filled(count);
                self.body.take(&mut piece).map_err(Fault::Backend)?;
                self.writing.piece = Some(piece);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Nothing is there to be sent: the backend is waited for, once it has the whole request.
    fn wait_for_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if self.sending.is_settled() {
            if !std::mem::replace(&mut self.is_reading, true) {
                self.client.watch().backend_until(Some(self.relay.clock.now() + self.deadlines.read));
            }
            self.client.watch().client_until(None);
            if self.client.is_gone(self.relay, context) {
                return Poll::Ready(Err(Fault::ClientLeft));
            }
        }
        late(self.client, context)
    }
}

fn late(client: Downstream<'_, '_>, context: &Context<'_>) -> Poll<Result<(), Fault>> {
    match client.watch().late(context) {
        Some(Late::Client) => Poll::Ready(Err(Fault::ClientSlow)),
        Some(Late::Backend) => Poll::Ready(Err(Fault::Backend(Failure::Timeout))),
        None => Poll::Pending,
    }
}
