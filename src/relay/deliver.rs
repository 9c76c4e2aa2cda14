//! An answer on its way to the client, while what is left of the request may still be on its way to the backend.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::task::{Context, Poll, ready};

use crate::http1::{Chunked, Form, LAST_CHUNK, ResponseFraming};
use crate::types::Pace;
use crate::upstream::Failure;

use super::Relay;
use super::attempt::{Answered, Outgoing, Patience, Sending};
use super::buffer::{Buffer, HEADROOM, Line};
use super::client::Client;
use super::clock::Late;
use super::fault::Fault;
use super::heads::AnswerOut;
use super::splice::Conduit;
use super::wire::Wire;

/// An answer's body.
struct Body {
    framing: ResponseFraming,
    out: AnswerOut,
    left: u64,
    chunked: Option<Chunked>,
    /// All of it was read.
    done: bool,
    /// Bytes came that nobody asked for: the connection is not used again.
    stray: bool,
    /// Bytes of data so far.
    data: u64,
}

impl Body {
    fn new(framing: ResponseFraming, out: AnswerOut) -> Self {
        let left = if let ResponseFraming::Length(length) = framing { length } else { 0 };
        let form = if out == AnswerOut::Chunks { Form::Chunks } else { Form::Data };
        let chunked = (framing == ResponseFraming::Chunked).then(|| Chunked::new(form));
        let done = matches!(framing, ResponseFraming::None | ResponseFraming::Length(0));
        Self { framing, out, left, chunked, done, stray: false, data: 0 }
    }

    /// Leaves in `bytes`, which were just read, what is to be sent of them.
    fn take(&mut self, bytes: &mut Buffer<'_>) -> Result<(), Failure> {
        let came = bytes.data().len();
        match (self.framing, &mut self.chunked) {
            (_, Some(chunked)) => {
                let rewritten = chunked.rewrite(bytes.data_mut()).map_err(|_| Failure::BadAnswer)?;
                bytes.truncate(rewritten.written);
                self.done = chunked.is_done();
                self.stray = rewritten.read < came;
                self.data = chunked.data();
            }
            (ResponseFraming::None, None) => {
                self.stray = came != 0;
                bytes.truncate(0);
            }
            (ResponseFraming::UntilClose | ResponseFraming::Chunked, None) => {
                self.data += came as u64;
                if self.out == AnswerOut::IntoChunks && came != 0 {
                    bytes.make_chunk();
                }
            }
            (ResponseFraming::Length(_), None) => {
                let part = usize::try_from(self.left).unwrap_or(came).min(came);
                bytes.truncate(part);
                self.left -= part as u64;
                self.data += part as u64;
                self.done = self.left == 0;
                self.stray = part < came;
            }
        }
        Ok(())
    }

    /// How much is left, where nothing of it has to be looked at.
    fn left_as_it_comes(&self) -> Option<u64> {
        (matches!(self.framing, ResponseFraming::Length(_)) && self.out == AnswerOut::AsIs).then_some(self.left)
    }

    /// So much of it went on without being looked at.
    fn passed(&mut self, count: usize) {
        self.left = self.left.saturating_sub(count as u64);
        self.data += count as u64;
        self.done = self.left == 0;
    }

    /// The backend's connection ended.
    fn end(&mut self) -> Result<(), Failure> {
        self.done = self.framing == ResponseFraming::UntilClose;
        if self.done { Ok(()) } else { Err(Failure::Reset) }
    }

    /// What follows the last byte.
    fn ending(&self) -> &[u8] {
        match (&self.chunked, self.out) {
            _ if !self.done => b"",
            (Some(chunked), AnswerOut::Chunks) => chunked.ending(),
            (_, AnswerOut::IntoChunks) => LAST_CHUNK,
            _ => b"",
        }
    }
}

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
    head: Line<'w>,
    head_sent: usize,
    ending_sent: usize,
    piece: Option<Buffer<'w>>,
    /// The way of a large body, beside `piece`.
    conduit: Option<Conduit<'w>>,
    pace: Pace,
}

impl Writing<'_> {
    /// Writes all that is ready.
    fn poll(
        &mut self,
        relay: &Relay,
        client: &Client<'_>,
        body: &Body,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        loop {
            let head = self.head.get(self.head_sent..).unwrap_or_default();
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
                Some(conduit) => conduit.poll_drain(&client.wire, context),
                None if done => client.wire.poll_flush(context).map_ok(|()| 0),
                None => client.wire.poll_write(context, first, then),
            };
            let Poll::Ready(written) = write else {
                client.watch.client_until(Some(relay.wait(&mut self.pace)));
                client.watch.backend_until(None);
                return Poll::Pending;
            };
            let count = written.map_err(|_| Fault::ClientLeft)?;
            relay.moved(&mut self.pace, count);
            match conduit {
                Some(_) => continue,
                None if done => return Poll::Ready(Ok(())),
                None => {}
            }
            let of_head = count.min(heads);
            let of_piece = (count - of_head).min(pieces);
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
    client: &Client<'w>,
    answered: Answered<'w>,
    head: Line<'w>,
    out: AnswerOut,
    outgoing: &mut Outgoing<'w>,
    patience: Patience,
) -> Delivered {
    let Answered { wire, mut bytes, head: parsed, sending } = answered;
    let mut body = Body::new(parsed.framing, out);
    bytes.used(parsed.length);
    let first = body.take(&mut bytes);
    let writing =
        Writing { head, head_sent: 0, ending_sent: 0, piece: Some(bytes), conduit: None, pace: Pace::default() };
    let mut delivery = Delivery { relay, client, wire, body, writing, sending, outgoing, patience, is_reading: false };
    let result = match first {
        Err(failure) => Err(Fault::Backend(failure)),
        Ok(()) => poll_fn(|context| delivery.poll(context)).await,
    };
    client.watch.client_until(None);
    client.watch.backend_until(None);
    let Delivery { wire, body, writing, sending, outgoing, .. } = delivery;
    let clean = result.is_ok() && !body.stray && parsed.keep_alive && sending.is_settled() && outgoing.upload.is_done();
    relay.give_answer(parsed);
    Delivered { data: body.data, result, reusable: clean.then_some(wire), begun: writing.head_sent != 0 }
}

/// A delivery under way.
struct Delivery<'d, 'w> {
    relay: &'w Relay,
    client: &'d Client<'w>,
    wire: Wire,
    body: Body,
    writing: Writing<'w>,
    sending: Sending<'w>,
    outgoing: &'d mut Outgoing<'w>,
    patience: Patience,
    /// The backend is waited for since its last byte.
    is_reading: bool,
}

impl Delivery<'_, '_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let (relay, client) = (self.relay, self.client);
        loop {
            if !self.sending.is_settled()
                && let Poll::Ready(Err(fault)) =
                    self.sending.poll(relay, client, &self.wire, self.outgoing, self.patience, context)
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
            client.wire.set_nodelay();
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
        {
            self.writing.conduit = self.relay.pipes.between(&self.wire, &self.client.wire, left);
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
                self.client.watch.backend_until(Some(self.relay.clock.now() + self.patience.read));
            }
            self.client.watch.client_until(None);
            if self.client.is_gone(self.relay, context) {
                return Poll::Ready(Err(Fault::ClientLeft));
            }
        }
        late(self.client, context)
    }
}

fn late(client: &Client<'_>, context: &Context<'_>) -> Poll<Result<(), Fault>> {
    match client.watch.late(context) {
        Some(Late::Client) => Poll::Ready(Err(Fault::ClientSlow)),
        Some(Late::Backend) => Poll::Ready(Err(Fault::Backend(Failure::Timeout))),
        None => Poll::Pending,
    }
}
