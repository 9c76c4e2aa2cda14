//! One request from its head to its last byte: body taken in, a backend asked and perhaps another, the answer passed on.

use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::filter::{ClientFacts, is_request_id};
use crate::http1::{Framing, Known, LAST_CHUNK};
use crate::plan::{self, Refusal};
use crate::snapshot::Route;
use crate::telemetry::ErrorReason;
use crate::upstream::{Failure, Lease, NoBackend, Tried, Upstream};

use super::Relay;
use super::attempt::{self, Answered, Asked, Outgoing, Patience, Place};
use super::client::Client;
use super::clock::Late;
use super::deliver::deliver;
use super::fault::Fault;
use super::heads::{self, AnswerOut, BodyOut};
use super::question::{Question, Request};
use super::record::Record;
use super::reply;
use super::spool::Spool;
use super::upload::Upload;

/// What becomes of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It may bring the next request.
    Keep,
    /// It is closed.
    Close,
    /// It is cut off: the answer is not whole, and must not look so.
    Abort,
    /// It is closed once the client had time to read.
    Linger,
}

/// Serves one request.
pub async fn serve<'w>(relay: &'w Relay, client: &Client<'w>, request: &Request<'_>) -> After {
    let _counted = relay.shared.active.enter();
    let fresh;
    let id = match request.view.get(Known::XRequestId) {
        Some(own) if is_request_id(own) => own,
        _ => {
            fresh = plan::request_id();
            &fresh[..]
        }
    };
    let facts =
        ClientFacts { address: client.address, text: &client.text, scheme: client.scheme, host: request.view.host() };
    let question = Question { relay, client, request, facts, id };
    let mut exchange = Exchange {
        question: &question,
        record: Record::new(request.start),
        lease: None,
        tried: Tried::new(),
        last_failure: None,
        ends: false,
    };
    let after = exchange.run().await;
    let Exchange { mut record, lease, .. } = exchange;
    record.finish(&question, lease.as_ref());
    after
}

struct Exchange<'a, 'w> {
    question: &'a Question<'a, 'w>,
    record: Record,
    lease: Option<Lease>,
    tried: Tried,
    last_failure: Option<Failure>,
    /// The connection's end is the answer's.
    ends: bool,
}

impl<'a, 'w> Exchange<'a, 'w> {
    async fn run(&mut self) -> After {
        let (relay, view) = (self.question.relay, self.question.view());
        let framing = view.head().framing;
        let route = match self.question.request.route {
            Ok(route) => route,
            Err(refusal) => return self.refuse(refusal, framing).await,
        };
        if let Some(answer) = route.cors.as_ref().and_then(|cors| cors.preflight(view.method(), view)) {
            return self.preflight(&answer, framing).await;
        }
        let limit = plan::body_limit(route, relay.shared.limits.body.0);
        if let Framing::Length(length) = framing
            && limit.is_some_and(|limit| limit < length)
        {
            return self.refuse(Refusal::too_large(), framing).await;
        }
        route.upstream.budget().deposit();
        let mut outgoing = Outgoing {
            head: relay.lines.take(),
            spool: Spool::default(),
            upload: Upload::new(framing, limit),
            body: BodyOut::None,
            streams: false,
        };
        let result = self.pass_on(route, framing, &mut outgoing).await;
        self.record.body_in = outgoing.upload.received;
        match result {
            Ok(()) => self.after(&mut outgoing.upload).await,
            Err(fault) => self.failed(fault, framing, outgoing.upload.is_done()).await,
        }
    }

    /// From the body's first byte to the answer's last.
    async fn pass_on(&mut self, route: &'a Route, framing: Framing, outgoing: &mut Outgoing<'w>) -> Result<(), Fault> {
        let question = self.question;
        let (relay, client) = (question.relay, question.client);
        self.take_in(route, framing, outgoing).await?;
        heads::request(&mut outgoing.head, question, route, outgoing.body);
        let answered = self.ask(route, outgoing).await?;
        if answered.sending.is_settled() {
            // An answer may take hours; what was asked is not needed again.
            outgoing.spool = Spool::default();
        }
        let mut line = relay.lines.take();
        heads::answer(&mut line, &answered.head.view(answered.bytes.data()), question, route);
        let out = heads::answer_out(answered.head.framing, question.view().head().version);
        self.ends = out == AnswerOut::UntilClose;
        let status = answered.head.status;
        let delivered = deliver(relay, client, answered, line, out, outgoing, patience(route)).await;
        self.record.body_out = delivered.data;
        if delivered.begun {
            self.record.status = status;
        }
        let timeouts = &route.upstream.spec().timeouts;
        if let (Some(wire), Some(lease)) = (delivered.reusable, &self.lease) {
            relay.pool.keep(lease.backend().address(), wire, relay.clock.now(), timeouts.idle);
        }
        if let (Err(Fault::Backend(failure)), Some(lease)) = (delivered.result, &self.lease) {
            route.upstream.failed(lease, failure);
        }
        delivered.result
    }

    /// Reads what of the body may wait here.
    async fn take_in(&self, route: &Route, framing: Framing, outgoing: &mut Outgoing<'w>) -> Result<(), Fault> {
        let (relay, client) = (self.question.relay, self.question.client);
        outgoing.body = match framing {
            // A length of nothing is said to the backend too: some refuse a POST without one.
            Framing::None if self.question.view().get(Known::ContentLength).is_some() => BodyOut::Length(0),
            Framing::None => BodyOut::None,
            Framing::Length(length) => BodyOut::Length(length),
            Framing::Chunked => BodyOut::Chunks,
        };
        if framing == Framing::None {
            return Ok(());
        }
        if self.question.view().head().expects_continue {
            let sent = client.send(relay, b"HTTP/1.1 100 Continue\r\n\r\n", b"").await;
            sent.map_err(|_| Fault::ClientLeft)?;
        }
        let allowed = route.upstream.spec().request_buffer.0;
        let most = if let Framing::Length(length) = framing { length.min(allowed) } else { allowed };
        let (upload, spool) = (&mut outgoing.upload, &mut outgoing.spool);
        poll_fn(|context| spool.poll_fill(relay, client, upload, most, context)).await?;
        if outgoing.body == BodyOut::Chunks {
            if upload.is_done() && upload.ending() == LAST_CHUNK {
                outgoing.body = BodyOut::Length(spool.len());
            } else {
                spool.make_chunk();
            }
        }
        Ok(())
    }

    /// Asks one backend after another until one answers.
    async fn ask(&mut self, route: &'a Route, outgoing: &mut Outgoing<'w>) -> Result<Answered<'w>, Fault> {
        let upstream = &route.upstream;
        let (relay, client, view) = (self.question.relay, self.question.client, self.question.view());
        let idempotent = plan::is_idempotent(view.method());
        let asked = Asked { is_head: view.method() == "HEAD", version: view.head().version };
        let (mut stale, mut has_moved) = (false, false);
        loop {
            self.choose(route).await?;
            self.record.attempts += 1;
            let attempts = self.record.attempts;
            let Some(lease) = &self.lease else { return Err(Fault::ClientLeft) };
            let backend = lease.backend().address();
            let place = Place { upstream, lease, tried: &self.tried, attempts, has_moved, idempotent };
            if !outgoing.upload.is_done() {
                lease.excuse();
            }
            // The first one at once after the head, where there was nothing to wait for.
            let waited = self.record.attempts != 1 || outgoing.upload.received != 0 || !self.record.held.is_zero();
            let chosen = if waited { relay.clock.tick() } else { relay.clock.now() };
            // What cannot be sent twice gets a connection that no close can cross.
            let reuse = idempotent && outgoing.upload.is_done();
            let connected = attempt::connect(relay, client, place, reuse && !stale, patience(route)).await;
            let (fault, reused, blamed) = match connected {
                Err((fault, blamed)) => (fault, false, blamed),
                Ok((wire, reused)) => {
                    self.record.connect = (!reused).then(|| chosen.elapsed());
                    match attempt::ask(relay, client, wire, outgoing, patience(route), asked, place).await {
                        Err(fault) => (fault, reused, true),
                        Ok(answered) => {
                            let now = relay.clock.tick();
                            self.record.first_byte = Some(now.saturating_duration_since(chosen));
                            let status = answered.head.status;
                            upstream.answered(lease, status, now);
                            if !self.try_elsewhere(route, status, idempotent && !outgoing.streams) {
                                return Ok(answered);
                            }
                            self.note(backend, Failure::Status(status));
                            continue;
                        }
                    }
                }
            };
            let failure = match fault {
                Fault::Backend(failure) => failure,
                Fault::Evicted => {
                    has_moved = true;
                    self.note(backend, Failure::Timeout);
                    continue;
                }
                fault => return Err(fault),
            };
            // A pooled connection that the backend closed while idle: nobody was asked yet, so this is no retry.
            stale = reused && failure == Failure::Reset;
            self.count(upstream, failure, stale, blamed);
            let safe = failure.is_unreachable() || (idempotent && !outgoing.streams);
            if !(safe && (stale || self.may_go_on(upstream, failure))) {
                return Err(Fault::Backend(failure));
            }
        }
    }

    /// Counts a failed attempt. A stale connection says nothing about the backend's health.
    fn count(&mut self, upstream: &Upstream, failure: Failure, stale: bool, blamed: bool) {
        self.last_failure = Some(failure);
        let Some(lease) = self.lease.as_ref().filter(|_| !stale) else { return };
        if blamed {
            upstream.failed(lease, failure);
        }
        self.tried.push(lease.backend().address());
    }

    /// True where another is asked after this failure.
    fn may_go_on(&self, upstream: &Upstream, failure: Failure) -> bool {
        plan::is_wanted(failure, &upstream.spec().retry.on)
            && plan::may_go_on(upstream, &self.tried, self.record.attempts, self.question.request.start)
    }

    /// Remembers whom not to ask again, and why.
    fn note(&mut self, backend: SocketAddr, failure: Failure) {
        self.tried.push(backend);
        self.last_failure = Some(failure);
    }

    /// True where an answer with this status is one to be had elsewhere.
    fn try_elsewhere(&self, route: &Route, status: u16, safe: bool) -> bool {
        let upstream = &route.upstream;
        let listed = upstream.spec().retry.on.statuses.contains(&status);
        let Some(lease) = self.lease.as_ref().filter(|_| listed && safe) else { return false };
        let mut tried = self.tried.clone();
        tried.push(lease.backend().address());
        upstream.has_untried(&tried)
            && plan::may_go_on(upstream, &tried, self.record.attempts, self.question.request.start)
    }

    /// Claims a backend; waits for one where the upstream holds requests.
    async fn choose(&mut self, route: &Route) -> Result<(), Fault> {
        let upstream = &route.upstream;
        if let Some(lease) = self.lease.take() {
            self.record.last_backend = Some(lease.backend().label().to_owned());
        }
        if let Ok(lease) = upstream.select(&self.tried) {
            self.lease = Some(lease);
            return Ok(());
        }
        let (relay, client) = (self.question.relay, self.question.client);
        let from = Instant::now();
        let found = {
            let waiting = upstream.select_or_wait(&mut self.tried, upstream.hold_deadline(self.question.request.start));
            let mut waiting = std::pin::pin!(waiting);
            poll_fn(|context| match waiting.as_mut().poll(context) {
                Poll::Ready(found) => Poll::Ready(Some(found)),
                Poll::Pending if client.is_gone(relay, context) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            })
            .await
        };
        if !upstream.spec().hold.is_zero() {
            self.record.held += from.elapsed();
        }
        match found {
            Some(Ok(lease)) => {
                self.lease = Some(lease);
                Ok(())
            }
            Some(Err(NoBackend::Overloaded)) => Err(Fault::Overloaded),
            Some(Err(why)) => {
                self.record.cause = Some(why.words());
                Err(Fault::Nobody(self.last_failure, !self.record.held.is_zero()))
            }
            None => Err(Fault::ClientLeft),
        }
    }

    /// What becomes of the connection after a whole answer.
    async fn after(&mut self, upload: &mut Upload) -> After {
        let keep = self.question.keeps_alive() && !self.ends;
        if upload.is_done() {
            return if keep { After::Keep } else { After::Close };
        }
        // The answer came before the end of the question.
        if keep && self.drain(upload).await { After::Keep } else { After::Linger }
    }

    /// Reads what is left of a body for a while; true when that was all of it.
    async fn drain(&self, upload: &mut Upload) -> bool {
        const LONGEST: Duration = Duration::from_secs(2);
        const MOST: u64 = 4 << 20;
        let (relay, client) = (self.question.relay, self.question.client);
        let (until, before) = (relay.clock.now() + LONGEST, upload.received);
        let mut buffer = relay.buffers.large();
        poll_fn(|context| {
            while !upload.is_done() {
                buffer.clear(0);
                let next = upload.poll_next(relay, client, context, &mut buffer);
                client.watch.client_until(Some(until));
                match next {
                    Poll::Ready(Ok(())) if upload.received - before < MOST => {}
                    Poll::Ready(_) => return Poll::Ready(false),
                    Poll::Pending if client.watch.late(context) == Some(Late::Client) => return Poll::Ready(false),
                    Poll::Pending => return Poll::Pending,
                }
            }
            Poll::Ready(true)
        })
        .await
    }

    async fn refuse(&mut self, refusal: Refusal, framing: Framing) -> After {
        let is_clear = framing == Framing::None && refusal.status != http::StatusCode::BAD_REQUEST;
        let keep = self.question.keeps_alive() && is_clear;
        self.answer(refusal, keep).await
    }

    async fn answer(&mut self, refusal: Refusal, keep: bool) -> After {
        let sent = reply::refused(self.question, refusal, keep, &mut self.record).await;
        match (sent, keep) {
            (true, true) => After::Keep,
            (true, false) => After::Linger,
            (false, _) => After::Abort,
        }
    }

    async fn preflight(&mut self, answer: &crate::filter::Preflight, framing: Framing) -> After {
        let keep = self.question.keeps_alive() && framing == Framing::None;
        match reply::preflight(self.question, answer, keep).await {
            Ok(()) => {
                self.record.status = answer.status.as_u16();
                if keep { After::Keep } else { After::Linger }
            }
            Err(_) => After::Abort,
        }
    }

    /// Tells the client, where its answer has not begun.
    async fn failed(&mut self, fault: Fault, framing: Framing, body_done: bool) -> After {
        if self.record.status != 0 {
            self.record.reason = Some(fault.reason_when_begun());
            if fault == Fault::ClientSlow {
                // Else the system goes on offering what it still holds, to a client that takes next to nothing.
                self.question.client.wire.reset_on_close();
            }
            return After::Abort;
        }
        let Some(refusal) = fault.refusal() else {
            self.record.reason = Some(ErrorReason::ClientAbort);
            return After::Abort;
        };
        let keep = self.question.keeps_alive() && (framing == Framing::None || body_done) && fault.is_backends();
        self.answer(refusal, keep).await
    }
}

fn patience(route: &Route) -> Patience {
    let timeouts = &route.upstream.spec().timeouts;
    Patience { connect: timeouts.connect, read: timeouts.read, write: timeouts.write }
}
