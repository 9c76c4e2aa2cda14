//! An answer on its way to the client, while what is left of the request may still be on its way to the backend.

use std::future::poll_fn;
use std::task::{Context, Poll};

use crate::http1::{Chunked, Form, ResponseFraming};
use crate::upstream::Failure;

use super::Relay;
use super::attempt::{Answered, Outgoing, Patience, Sending, into_chunk};
use super::buffer::{Buffer, HEADROOM, Line};
use super::client::Client;
use super::clock::Late;
use super::fault::Fault;
use super::heads::AnswerOut;
use super::pace::Pace;
use super::wire::Wire;

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

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
                    into_chunk(bytes);
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
            let write = if done {
                client.wire.poll_flush(context).map_ok(|()| 0)
            } else {
                client.wire.poll_write(context, first, then)
            };
            let Poll::Ready(written) = write else {
                client.watch.client_until(Some(self.pace.wait(relay)));
                client.watch.backend_until(None);
                return Poll::Pending;
            };
            let count = written.map_err(|_| Fault::ClientLeft)?;
            if done {
                self.pace.moved(relay, 0);
                return Poll::Ready(Ok(()));
            }
            self.pace.moved(relay, count);
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
    let Answered { wire, mut bytes, head: parsed, mut sending } = answered;
    let mut body = Body::new(parsed.framing, out);
    bytes.used(parsed.length);
    let first = body.take(&mut bytes);
    let mut writing = Writing { head, head_sent: 0, ending_sent: 0, piece: Some(bytes), pace: Pace::default() };
    let mut progress = Progress::default();
    let result = match first {
        Err(failure) => Err(Fault::Backend(failure)),
        Ok(()) => {
            poll_fn(|context| {
                poll(
                    relay,
                    client,
                    &wire,
                    &mut body,
                    &mut writing,
                    &mut sending,
                    outgoing,
                    patience,
                    &mut progress,
                    context,
                )
            })
            .await
        }
    };
    client.watch.client_until(None);
    client.watch.backend_until(None);
    let clean = result.is_ok() && !body.stray && parsed.keep_alive && sending.is_settled() && outgoing.upload.is_done();
    relay.give_answer(parsed);
    Delivered { data: body.data, result, reusable: clean.then_some(wire), begun: writing.head_sent != 0 }
}

/// What a delivery waits for.
#[derive(Default)]
struct Progress {
    /// The backend is waited for since its last byte.
    reading: bool,
}

#[expect(clippy::too_many_arguments, reason = "the parts of one delivery, each borrowed apart")]
fn poll<'w>(
    relay: &'w Relay,
    client: &Client<'w>,
    wire: &Wire,
    body: &mut Body,
    writing: &mut Writing<'w>,
    sending: &mut Sending<'w>,
    outgoing: &mut Outgoing<'w>,
    patience: Patience,
    progress: &mut Progress,
    context: &mut Context<'_>,
) -> Poll<Result<(), Fault>> {
    loop {
        if !sending.is_settled()
            && let Poll::Ready(Err(fault)) = sending.poll(relay, client, wire, outgoing, patience, context)
        {
            return Poll::Ready(Err(fault));
        }
        match writing.poll(relay, client, body, context) {
            Poll::Ready(Ok(())) if body.done => return Poll::Ready(Ok(())),
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
            Poll::Pending => return late(client, context),
        }
        // What is sent in several parts must not wait for an acknowledgement of the first.
        client.wire.set_nodelay();
        let mut piece = writing.piece.take().unwrap_or_else(|| relay.buffers.large());
        piece.clear(HEADROOM);
        let room = piece.room();
        // Two bytes stay free for the end of a chunk.
        let most = room.len() - 2;
        match wire.poll_read(context, &mut room[..most]) {
            Poll::Ready(Ok(0)) => body.end().map_err(Fault::Backend)?,
            Poll::Ready(Err(_)) => return Poll::Ready(Err(Fault::Backend(Failure::Reset))),
            Poll::Ready(Ok(count)) => {
                progress.reading = false;
                piece.filled(count);
                body.take(&mut piece).map_err(Fault::Backend)?;
                writing.piece = Some(piece);
            }
            Poll::Pending => {
                if sending.is_settled() && !std::mem::replace(&mut progress.reading, true) {
                    client.watch.backend_until(Some(relay.clock.now() + patience.read));
                }
                if sending.is_settled() {
                    client.watch.client_until(None);
                    if client.is_gone(relay, context) {
                        return Poll::Ready(Err(Fault::ClientLeft));
                    }
                }
                return late(client, context);
            }
        }
    }
}

fn late(client: &Client<'_>, context: &Context<'_>) -> Poll<Result<(), Fault>> {
    match client.watch.late(context) {
        Some(Late::Client) => Poll::Ready(Err(Fault::ClientSlow)),
        Some(Late::Backend) => Poll::Ready(Err(Fault::Backend(Failure::Timeout))),
        None => Poll::Pending,
    }
}
