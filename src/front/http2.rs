//! A connection of HTTP/2: its streams, each a request, and what the connection as a whole may do.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, Stream as _};
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;

use crate::config::model::LimitsSpec;
use crate::plan::{Asked, Refusal, Walk};
use crate::relay::{self, After, Buffer, Client, Downstream, Peer, Stream};
use crate::telemetry::ErrorReason;
use crate::telemetry::metrics::Turned;

use super::tap::{State, Tap};
use super::worker::Worker;

/// Streams of one connection at a time.
const STREAMS: u32 = 100;
/// What a client may send of one body, and of all of a connection, before it is read: bytes.
const WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What of a response waits for the connection, bytes.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that the client reset, or had reset, before they were looked at (CVE-2023-44487, CVE-2025-8671).
const RESETS: usize = 20;
const LOCAL_RESETS: usize = 256;
/// How long a client has to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// The limits that HTTP/2 itself knows.
fn builder(limits: &LimitsSpec) -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(limits.header_size.0).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(Some(LOCAL_RESETS))
        .max_send_buffer_size(SEND_BUFFER);
    builder
}

/// Serves a connection until it ends.
pub(super) async fn serve<'w>(worker: &'w Worker, client: Client<'w>) {
    client.wire.set_nodelay();
    let Client { wire, watch, input, peer } = client;
    let state = Rc::new(State::new(worker.limits().pace()));
    let tap = Tap::new(wire.into_transport(), input.take(), Rc::clone(&state));
    let handshake = builder(worker.limits()).handshake::<_, Buffer<'w>>(tap);
    let Ok(Ok(mut connection)) = tokio::time::timeout(worker.limits().header_timeout, handshake).await else { return };
    let peer = Rc::new(peer);
    let mut streams = FuturesUnordered::new();
    let mut life = Life::new(worker, Rc::clone(&state));
    poll_fn(|context| {
        let polled = life.poll(worker, &mut connection, context, |request, respond| {
            let peer = Rc::clone(&peer);
            // Its state is large: it is made in its place, and not carried there.
            streams.push(async move { Box::pin(stream(worker, peer, request, respond)).await });
        });
        while let Poll::Ready(Some(())) = Pin::new(&mut streams).poll_next(context) {}
        if polled.is_ready() && streams.is_empty() {
            return Poll::Ready(());
        }
        life.rest(worker, &watch, streams.is_empty(), context)
    })
    .await;
    if state.has_flooded() {
        worker.shared.relay.metrics.turned_away(Turned::Flood);
        log::debug!("HTTP/2 connection from {} closed: flood of control frames", peer.socket);
    }
}

/// How far a connection is in its life.
struct Life {
    state: Rc<State>,
    opened: Instant,
    served: u32,
    /// It takes no further streams.
    is_leaving: bool,
    is_over: bool,
    /// Since when it has no stream.
    idle: Option<Instant>,
}

impl Life {
    fn new(worker: &Worker, state: Rc<State>) -> Self {
        Self { state, opened: worker.relay.clock.now(), served: 0, is_leaving: false, is_over: false, idle: None }
    }

    /// Moves frames, and has `open` called for each new stream. Ready once the connection is over.
    fn poll<'w>(
        &mut self,
        worker: &'w Worker,
        connection: &mut Connection<Tap<'w>, Buffer<'w>>,
        context: &mut Context<'_>,
        mut open: impl FnMut(Request<RecvStream>, SendResponse<Buffer<'w>>),
    ) -> Poll<()> {
        while !self.is_over {
            if !self.is_leaving && (self.is_spent(worker) || worker.relay.clock.is_ending()) {
                self.is_leaving = true;
                connection.graceful_shutdown();
            }
            match connection.poll_accept(context) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.served = self.served.saturating_add(1);
                    self.idle = None;
                    open(request, respond);
                }
                Poll::Ready(Some(Err(error))) => {
                    log::debug!("an HTTP/2 connection ended: {error}");
                    self.is_over = true;
                }
                Poll::Ready(None) => self.is_over = true,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    /// It served as many requests, or for as long, as one connection may.
    fn is_spent(&self, worker: &Worker) -> bool {
        let limits = worker.limits();
        (limits.requests != 0 && limits.requests <= self.served)
            || (!limits.lifetime.is_zero() && limits.lifetime <= self.opened.elapsed())
    }

    /// Nothing can be done now. Ready where that has been so for too long.
    fn rest(
        &mut self,
        worker: &Worker,
        watch: &relay::Watched<'_>,
        is_idle: bool,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let limits = worker.limits();
        let quiet = if is_idle {
            let most = if self.is_leaving { GOODBYE } else { limits.keepalive.max(Duration::from_secs(1)) };
            Some(*self.idle.get_or_insert_with(|| worker.relay.clock.now()) + most)
        } else {
            self.idle = None;
            None
        };
        // A client that takes nothing of what all its streams wait for.
        let stalled = self.state.due().map(|due| due + GOODBYE);
        let due = [quiet, stalled].into_iter().flatten().min();
        watch.client_until(due);
        if watch.late(context).is_none() {
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

/// Serves one stream.
async fn stream<'w>(
    worker: &'w Worker,
    peer: Rc<Peer>,
    request: Request<RecvStream>,
    respond: SendResponse<Buffer<'w>>,
) {
    let start = worker.relay.clock.tick();
    let (parts, body) = request.into_parts();
    let has_body = !body.is_end_stream();
    let stream = Stream::new(peer, worker.relay.clock.watch(), body, respond);
    let client = Downstream::Http2(&stream);
    let mut bytes = worker.relay.lines.take();
    let mut head = worker.take_head();
    if let Err(bad) = head.translate(&mut bytes, &parts, has_body, worker.head_limits) {
        let refusal = Refusal::new(bad.status, bad.why, ErrorReason::BadRequest);
        relay::refuse(&worker.relay, client, refusal, start).await;
        worker.give_head(head);
        return;
    }
    drop(parts);
    let snapshot = worker.snapshot();
    let view = head.view(&bytes);
    let asked = Asked::of(&view, client.peer().listener, true);
    let walk = Walk::start(&snapshot.program, &asked);
    let request = relay::Request { snapshot: &snapshot, view, asked, walk, start, keep_alive: true };
    if relay::serve(&worker.relay, client, &request).await == After::Abort {
        stream.reset(Reason::INTERNAL_ERROR);
    }
    worker.give_head(head);
}
