//! One client's connection from its first byte to its last: heads are read here, under deadlines and limits, and each
//! request takes the lane it needs.

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Instant;

use pingora::apps::HttpServerApp as _;
use pingora::protocols::http::ServerSession;
use tokio::net::TcpStream;

use crate::config::model::LaneChoice;
use crate::http1::{BadHead, RequestHead, Scan};
use crate::plan::{Asked, Refusal, Walk};
use crate::proxy::Planned;
use crate::relay::{self, After, Client, Downstream, Late, Peer, Transport, Wire};
use crate::telemetry::ErrorReason;
use crate::telemetry::metrics::{Lane, Turned};

use super::frames::PREFACE;
use super::guard::Admitted;
use super::http2;
use super::pingora_stream::{PingoraStream, StreamParts};
use super::tls::TlsAcceptor;
use super::worker::Worker;

/// Of HTTP/2's preface, what no request of HTTP/1 begins with.
const PREFACE_START: usize = 18;

/// What the next bytes of a connection are.
enum Arrived {
    /// A head of so many bytes.
    Head(usize, Instant),
    /// HTTP/2 in the clear.
    Http2,
    /// Nothing that could be read.
    Bad(BadHead, Instant),
    /// Half a head, for too long.
    Late(Instant),
    /// The client left, or said nothing in time, or the process ends: nothing was asked, nothing is answered.
    Over,
}

/// Serves a connection until it ends.
pub(super) async fn serve(
    worker: &Worker,
    socket: TcpStream,
    peer: SocketAddr,
    listener: usize,
    tls: Option<&TlsAcceptor>,
    _admitted: Admitted,
) {
    let _counted = worker.shared.connections.enter();
    let address = peer.ip().to_canonical();
    let transport = match tls {
        None => Transport::Tcp(socket),
        // Large, and over soon: not to be a part of each connection's future.
        Some(tls) => match Box::pin(tokio::time::timeout(worker.limits().header_timeout, tls.accept(socket))).await {
            Ok(Ok(stream)) => Transport::Tls(Box::new(stream)),
            failed => {
                worker.shared.relay.metrics.turned_away(Turned::Handshake);
                match failed {
                    Ok(Err(error)) => log::debug!("the TLS handshake with {address} failed: {error}"),
                    _ => log::debug!("the TLS handshake with {address} timed out"),
                }
                return;
            }
        },
    };
    let http2 = match transport.tls() {
        None => Http2Start::Allowed,
        Some(session) if session.alpn_protocol() == Some(b"h2") => Http2Start::Agreed,
        Some(_) => Http2Start::Never,
    };
    let client = Client {
        peer: Peer::new(peer, listener, transport.is_tls()),
        wire: Wire::new(transport),
        watch: worker.relay.clock.watch(),
        input: RefCell::new(None),
    };
    requests(worker, client, http2).await;
}

/// What is known of HTTP/2 before the first byte.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Http2Start {
    /// In the clear: the first bytes tell.
    Allowed,
    /// By ALPN: its preface has to come.
    Agreed,
    /// TLS without ALPN for it.
    Never,
}

/// Serves one request after another. Between them nothing of a request is kept but the connection.
async fn requests<'w>(worker: &'w Worker, mut client: Client<'w>, mut start_of_http2: Http2Start) {
    let opened = Instant::now();
    let limits = worker.limits();
    let mut served: u32 = 0;
    loop {
        let (length, start) = match next(worker, &client, served == 0, start_of_http2).await {
            Arrived::Head(length, start) => (length, start),
            // Large, and of few connections: not to be a part of each one's future.
            Arrived::Http2 => return Box::pin(http2::serve(worker, client)).await,
            Arrived::Bad(bad, start) => return refuse(worker, &client, bad, start).await,
            Arrived::Late(start) => {
                return relay::refuse(&worker.relay, Downstream::Http1(&client), Refusal::too_slow(), start).await;
            }
            Arrived::Over => return,
        };
        served = served.saturating_add(1);
        start_of_http2 = Http2Start::Never;
        let Some(mut bytes) = client.input.take() else { return };
        *client.input.borrow_mut() = bytes.split_off(length);
        let mut head = worker.take_head();
        if let Err(bad) = head.read(bytes.data(), worker.head_limits) {
            return refuse(worker, &client, bad, start).await;
        }
        let is_last = (limits.requests != 0 && limits.requests <= served)
            || (!limits.lifetime.is_zero() && limits.lifetime <= opened.elapsed());
        let may_stay = !is_last && !limits.keepalive.is_zero() && !worker.relay.clock.is_ending();
        let keep_alive = head.keep_alive && may_stay;
        let snapshot = worker.snapshot();
        let view = head.view(bytes.data());
        let asked = Asked::of(&view, client.peer.listener, false);
        let walk = Walk::start(&snapshot.program, &asked);
        if lane(worker, &head, || walk.may_ask(&snapshot.program)) == Lane::Full {
            let planned = Planned { snapshot: snapshot.shared(), walk, start };
            match full(worker, client, planned, &head, bytes.data(), keep_alive).await {
                Some(back) => client = back,
                None => return,
            }
            worker.give_head(head);
            continue;
        }
        let request = relay::Request { snapshot: &snapshot, view, asked, walk, start, keep_alive };
        let after = relay::serve(&worker.relay, Downstream::Http1(&client), &request).await;
        worker.give_head(head);
        match after {
            After::Keep if served == 1 => client.wire.set_nodelay(),
            After::Keep => {}
            After::Close => return client.close(&worker.relay).await,
            After::Abort => return,
            After::Linger => return client.linger(&worker.relay).await,
        }
    }
}

async fn refuse<'w>(worker: &'w Worker, client: &Client<'w>, bad: BadHead, start: Instant) {
    let refusal = Refusal::new(bad.status, bad.why, ErrorReason::BadRequest);
    relay::refuse(&worker.relay, Downstream::Http1(client), refusal, start).await;
}

/// The lane a request takes: the full one where the file says so, but for what needs the whole connection, and what an auth
/// upstream is asked about.
fn lane(worker: &Worker, head: &RequestHead, asks: impl FnOnce() -> bool) -> Lane {
    match worker.shared.lane {
        LaneChoice::Full if !head.is_websocket && !asks() => Lane::Full,
        LaneChoice::Full | LaneChoice::Auto => Lane::Fast,
    }
}

/// Lends the connection to Pingora for one request; the connection again where it may bring another.
async fn full<'w>(
    worker: &'w Worker,
    client: Client<'w>,
    planned: Planned,
    head: &RequestHead,
    bytes: &[u8],
    keep_alive: bool,
) -> Option<Client<'w>> {
    client.wire.set_nodelay();
    let Client { wire, watch, input, peer } = client;
    let rest = input.take();
    let rest = rest.as_ref().map_or(&b""[..], |rest| rest.data());
    let parts = StreamParts { transport: wire.into_transport(), peer: peer.socket, pace: worker.limits().pace() };
    let stream = PingoraStream::request(parts, bytes, rest, head.framing);
    let mut session = ServerSession::new_http1(Box::new(stream));
    session.set_keepalive(Some(worker.limits().keepalive.as_secs().max(1)));
    // Pingora sets the keepalive anew from the head; this it leaves.
    session.set_keepalive_reuses_remaining((!keep_alive).then_some(0));
    // Pingora's future is large: it is not to be a part of each connection's.
    let reused = Box::pin(planned.serve(worker.full.process_new_http(session, &worker.stopped))).await?;
    let (stream, _) = reused.consume();
    let stream = stream.into_any().downcast::<PingoraStream>().ok()?;
    let (transport, ahead) = stream.take_back();
    if !keep_alive {
        return None;
    }
    let input = (!ahead.is_empty()).then(|| {
        let mut buffer = worker.relay.buffers.large();
        buffer.append(&ahead);
        buffer
    });
    Some(Client { wire: Wire::again(transport), watch, input: RefCell::new(input), peer })
}

/// Reads the next head. The first of a connection has to be there within the head's deadline; later ones may take the
/// keepalive's to begin.
async fn next<'w>(worker: &'w Worker, client: &Client<'w>, is_first: bool, http2: Http2Start) -> Arrived {
    let (relay, limits) = (&worker.relay, worker.limits());
    let mut scan = Scan::default();
    let mut start = None;
    let idle = if is_first { limits.header_timeout } else { limits.keepalive };
    client.watch.client_until(Some(relay.clock.now() + idle));
    let next = poll_fn(|context| {
        loop {
            if let Some(input) = &*client.input.borrow()
                && !input.is_empty()
            {
                let start = *start.get_or_insert_with(|| {
                    let now = relay.clock.tick();
                    client.watch.client_until(Some(now + limits.header_timeout));
                    now
                });
                if let Some(next) = look(worker, &mut scan, input.data(), http2, start) {
                    return Poll::Ready(next);
                }
            }
            match poll_more(worker, client, context) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(Arrived::Over),
                Poll::Pending if start.is_none() && relay.clock.is_ending() => return Poll::Ready(Arrived::Over),
                Poll::Pending if client.watch.late(context) == Some(Late::Client) => {
                    return Poll::Ready(start.map_or(Arrived::Over, Arrived::Late));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
    client.watch.client_until(None);
    next
}

/// What the bytes read so far are, once that can be told.
fn look(worker: &Worker, scan: &mut Scan, bytes: &[u8], http2: Http2Start, start: Instant) -> Option<Arrived> {
    let is_preface = PREFACE.iter().zip(bytes).all(|(a, b)| a == b);
    match http2 {
        Http2Start::Agreed if !is_preface => return Some(Arrived::Over),
        Http2Start::Agreed => return (PREFACE.len() <= bytes.len()).then_some(Arrived::Http2),
        Http2Start::Allowed if is_preface && PREFACE_START <= bytes.len() => {
            return (PREFACE.len() <= bytes.len()).then_some(Arrived::Http2);
        }
        Http2Start::Allowed | Http2Start::Never => {}
    }
    match scan.end(bytes, worker.head_limits) {
        Ok(None) => None,
        Ok(Some(length)) => Some(Arrived::Head(length, start)),
        Err(bad) => Some(Arrived::Bad(bad, start)),
    }
}

/// Reads more of a head. A buffer is held only while there is something in it.
fn poll_more<'w>(worker: &'w Worker, client: &Client<'w>, context: &mut Context<'_>) -> Poll<bool> {
    let mut held = client.input.borrow_mut();
    let mut input = held.take().unwrap_or_else(|| worker.relay.buffers.small());
    // One byte more than a head may have, so that it can be told from one that is too large.
    let has_room = input.grow(worker.head_limits.size + 1);
    let read = if has_room { client.wire.poll_read(context, input.room()) } else { Poll::Ready(Ok(0)) };
    let polled = match read {
        Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(false),
        Poll::Ready(Ok(count)) => {
            input.filled(count);
            Poll::Ready(true)
        }
        Poll::Pending => Poll::Pending,
    };
    if !input.is_empty() {
        *held = Some(input);
    }
    polled
}
