//! One request from its head to its last byte: body taken in, a backend asked and perhaps another, the response passed on.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use crate::config::model::{AuthSpec, Proxy};
use crate::filter::ClientFacts;
use crate::filter::is_request_id;
use crate::http1::{Framing, Known, LAST_CHUNK};
use crate::plan::{self, OwnResponse, Refusal, Verdict};
use crate::snapshot::LiveRoute;
use crate::telemetry::ErrorReason;
use crate::upstream::{Lease, Upstream};

use super::asking::Asking;
use super::attempt::{BackendResponse, RequestKind};
use super::auth::{self, AuthOutcome};
use super::client::Downstream;
use super::clock::Late;
use super::deadlines::Deadlines;
use super::deliver::deliver;
use super::fault::Fault;
use super::figures::Figures;
use super::heads::{self, RequestBodyOut, ResponseBodyOut};
use super::response_head::HeadOut;
use super::scope::{Request, RequestScope};
use super::sending::Outgoing;
use super::spool::Spool;
use super::tunnel;
use super::upload::Upload;
use super::worker::Relay;

/// What becomes of the client's connection, or stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It may bring the next request.
    Keep,
    /// It is closed.
    Close,
    /// It is cut off: the response is not whole, and must not look so.
    Abort,
    /// It is closed once the client had time to read.
    Linger,
}

/// Serves one request.
pub async fn serve<'w>(relay: &'w Relay, client: Downstream<'_, 'w>, request: &Request<'_>) -> After {
    let _counted = relay.shared.active.enter();
    let fresh;
    let id = match request.view.get(Known::XRequestId) {
        Some(own) if is_request_id(own) => own,
        _ => {
            fresh = plan::request_id();
            &fresh[..]
        }
    };
    let peer = client.peer();
    let facts = ClientFacts { address: peer.address, text: &peer.text, scheme: peer.scheme, host: request.asked.host };
    let scope = RequestScope { relay, client, request, facts, id };
    let mut exchange = Exchange { scope: &scope, figures: Figures::new(request.start), lease: None, ends: false };
    let after = exchange.run().await;
    let Exchange { figures, lease, .. } = exchange;
    figures.finish(&scope, lease.as_ref());
    after
}

/// Where a request goes.
struct Destination<'a> {
    route: &'a LiveRoute,
    upstream: &'a Upstream,
    proxy: &'a Proxy,
}

struct Exchange<'a, 'w> {
    scope: &'a RequestScope<'a, 'w>,
    figures: Figures,
    lease: Option<Lease>,
    /// The connection's end is the response's.
    ends: bool,
}

impl<'a, 'w> Exchange<'a, 'w> {
    async fn run(&mut self) -> After {
        let (relay, view) = (self.scope.relay, self.scope.view());
        let framing = view.head().framing;
        let request = self.scope.request;
        let (program, mut walk, mut identity) = (&request.snapshot.program, request.walk, Vec::new());
        let proxy = loop {
            match walk.next(program, &request.asked, view) {
                Verdict::Pass(proxy) => break proxy,
                Verdict::Ask(auth) => match self.authorize(auth, framing).await {
                    Ok(lines) => identity = lines,
                    Err(after) => return after,
                },
                Verdict::Refuse(refusal) => return self.refuse(refusal, framing).await,
                Verdict::Preflight(preflight) => {
                    let response = OwnResponse::preflight(preflight, self.scope.reader().request_id);
                    let keep = self.scope.keeps_alive() && framing == Framing::None;
                    return self.respond(&response, keep).await;
                }
            }
        };
        let route = self.scope.route();
        let Some(upstream) = &route.upstream else { return self.refuse(Refusal::internal(), framing).await };
        upstream.budget().deposit();
        let limit = route.spec.body_limit.map(|limit| limit.0);
        let to = Destination { route, upstream, proxy };
        let mut outgoing = Outgoing {
            head: relay.lines.take(),
            spool: Spool::default(),
            upload: Upload::new(framing, view.head().version, limit),
            body: RequestBodyOut::None,
            streams: false,
        };
        let result = self.pass_on(&to, framing, &identity, &mut outgoing).await;
        if !view.head().is_websocket {
            self.figures.body_in = outgoing.upload.received;
        }
        match result {
            Ok(After::Keep) => self.after(&mut outgoing.upload).await,
            Ok(after) => after,
            Err(fault) => self.failed(fault, framing, outgoing.upload.is_done()).await,
        }
    }

    /// Has the route's auth upstream asked: what that says of the client, as header lines.
    async fn authorize(&mut self, auth: &AuthSpec, framing: Framing) -> Result<Vec<u8>, After> {
        let Some(upstream) = &self.scope.route().auth else {
            return Err(self.refuse(Refusal::internal(), framing).await);
        };
        // Apart, so that requests which ask nobody do not carry its state.
        match Box::pin(auth::ask(self.scope, auth, upstream)).await {
            AuthOutcome::Granted(identity) => Ok(identity),
            AuthOutcome::Denied(denial) => {
                self.figures.reason = Some(ErrorReason::AuthDenied);
                let response = OwnResponse::denied(denial, self.scope.reader());
                // A body that is left unread could be taken for the next request.
                let keep = self.scope.keeps_alive() && framing == Framing::None;
                Err(self.respond(&response, keep).await)
            }
            AuthOutcome::Neither(refusal, why) => {
                self.figures.cause = Some(why.into());
                Err(self.refuse(refusal, framing).await)
            }
            AuthOutcome::Left => {
                self.figures.reason = Some(ErrorReason::ClientAbort);
                Err(After::Abort)
            }
        }
    }

    /// From the body's first byte to the response's last.
    async fn pass_on(
        &mut self,
        to: &Destination<'a>,
        framing: Framing,
        identity: &[u8],
        outgoing: &mut Outgoing<'w>,
    ) -> Result<After, Fault> {
        let (scope, view) = (self.scope, self.scope.view());
        let (relay, client) = (scope.relay, scope.client);
        let Destination { route, upstream, proxy } = *to;
        self.take_in(upstream, framing, outgoing).await?;
        heads::request(&mut outgoing.head, scope, proxy, outgoing.body, identity);
        outgoing.spool.join(&mut outgoing.head);
        let asked = RequestKind {
            is_head: scope.request.asked.method == "HEAD",
            version: view.head().version,
            idempotent: plan::is_idempotent(scope.request.asked.method),
            upgrades: view.head().is_websocket,
            passes_interim: true,
        };
        let mut asking = Asking::new(upstream);
        let answered = asking.ask(scope, asked, outgoing).await;
        (self.lease, self.figures.trail) = (asking.lease, asking.trail);
        let answered = answered?;
        if answered.sending.is_settled() {
            // A response may take hours; what was asked is not needed again.
            outgoing.spool = Spool::default();
        }
        let response = answered.head.view(answered.bytes.data());
        let announced = response.announced_keepalive();
        let mut head = client.head(relay);
        heads::response(&mut head, &response, scope, route);
        let status = answered.head.status;
        if status == 101 {
            return self.tunnel(answered, &head).await;
        }
        let out = heads::response_body_out(answered.head.framing, view.head().version);
        self.ends = out == ResponseBodyOut::UntilClose;
        let deadlines = Deadlines::of(upstream);
        let delivered = deliver(relay, client, answered, head, out, outgoing, deadlines).await;
        self.figures.body_out = delivered.data;
        if delivered.begun {
            self.figures.status = status;
        }
        let idle = upstream.spec().timeouts.idle;
        if let (Some(wire), Some(lease)) = (delivered.reusable, &self.lease) {
            relay.pool.keep(lease.backend().address(), wire, relay.clock.now(), idle, announced);
        }
        if let (Err(Fault::Backend(failure)), Some(lease)) = (delivered.result, &self.lease) {
            upstream.failed(lease, failure);
        }
        delivered.result.map(|()| After::Keep)
    }

    /// The backend takes the connection over.
    async fn tunnel(&mut self, answered: BackendResponse<'w>, head: &HeadOut<'w>) -> Result<After, Fault> {
        let (relay, client) = (self.scope.relay, self.scope.client);
        let Some(client) = client.connection() else { return Err(Fault::ClientLeft) };
        client.send(relay, head.text(), b"").await.map_err(|_| Fault::ClientLeft)?;
        self.figures.status = 101;
        let BackendResponse { wire, mut bytes, head, .. } = answered;
        bytes.used(head.length);
        relay.give_response_head(head);
        // What was taken for a backend that answers is one that talks from now on.
        let moved = tunnel::join(relay, client, &wire, bytes).await;
        (self.figures.body_in, self.figures.body_out) = (moved.inward, moved.outward);
        Ok(After::Close)
    }

    /// Reads what of the body may wait here.
    async fn take_in(&self, upstream: &Upstream, framing: Framing, outgoing: &mut Outgoing<'w>) -> Result<(), Fault> {
        let (relay, client) = (self.scope.relay, self.scope.client);
        outgoing.body = match framing {
            // A length of nothing is said to the backend too: some refuse a POST without one.
            Framing::None if self.scope.view().get(Known::ContentLength).is_some() => RequestBodyOut::Length(0),
            Framing::None => RequestBodyOut::None,
            Framing::Length(length) => RequestBodyOut::Length(length),
            Framing::Chunked => RequestBodyOut::Chunks,
        };
        if framing == Framing::None {
            return Ok(());
        }
        if self.scope.view().head().expects_continue {
            client.go_on(relay).await.map_err(|_| Fault::ClientLeft)?;
        }
        let allowed = upstream.spec().request_buffer.0;
        let most = if let Framing::Length(length) = framing { length.min(allowed) } else { allowed };
        let (upload, spool) = (&mut outgoing.upload, &mut outgoing.spool);
        poll_fn(|context| spool.poll_fill(relay, client, upload, most, context)).await?;
        if outgoing.body == RequestBodyOut::Chunks {
            if upload.is_done() && upload.ending() == LAST_CHUNK {
                outgoing.body = RequestBodyOut::Length(spool.len());
            } else {
                spool.make_chunk();
            }
        }
        Ok(())
    }

    /// What becomes of the connection after a whole answer.
    async fn after(&mut self, upload: &mut Upload) -> After {
        let keep = self.scope.keeps_alive() && !self.ends;
        if upload.is_done() {
            return if keep { After::Keep } else { After::Close };
        }
        // The answer came before the end of the request.
        if keep && self.drain(upload).await { After::Keep } else { After::Linger }
    }

    /// Reads what is left of a body for a while; true when that was all of it.
    async fn drain(&self, upload: &mut Upload) -> bool {
        const LONGEST: Duration = Duration::from_secs(2);
        const MOST: u64 = 4 << 20;
        let (relay, client) = (self.scope.relay, self.scope.client);
        let (until, before) = (relay.clock.now() + LONGEST, upload.received);
        let mut buffer = relay.buffers.large();
        poll_fn(|context| {
            while !upload.is_done() {
                buffer.clear(0);
                let next = upload.poll_next(relay, client, context, &mut buffer);
                client.watch().client_until(Some(until));
                match next {
                    Poll::Ready(Ok(())) if upload.received - before < MOST => {}
                    Poll::Ready(_) => return Poll::Ready(false),
                    Poll::Pending if client.watch().late(context) == Some(Late::Client) => return Poll::Ready(false),
                    Poll::Pending => return Poll::Pending,
                }
            }
            Poll::Ready(true)
        })
        .await
    }

    async fn refuse(&mut self, refusal: Refusal, framing: Framing) -> After {
        let is_clear = framing == Framing::None && refusal.status != http::StatusCode::BAD_REQUEST;
        let keep = self.scope.keeps_alive() && is_clear;
        self.answer(refusal, keep).await
    }

    async fn answer(&mut self, refusal: Refusal, keep: bool) -> After {
        self.figures.reason = Some(refusal.reason);
        self.figures.cause.get_or_insert(refusal.detail.into());
        self.respond(&OwnResponse::refusal(refusal, self.scope.reader()), keep).await
    }

    /// Sends a response of the edge's own.
    async fn respond(&mut self, response: &OwnResponse, keep: bool) -> After {
        let (relay, view) = (self.scope.relay, self.scope.view());
        let (to_head, version) = (self.scope.request.asked.method == "HEAD", view.head().version);
        match self.scope.client.respond(relay, response, to_head, version, keep).await {
            Ok(sent) => {
                self.figures.status = response.status.as_u16();
                self.figures.body_out = sent;
                if keep { After::Keep } else { After::Linger }
            }
            Err(_) => After::Abort,
        }
    }

    /// Tells the client, where its answer has not begun.
    async fn failed(&mut self, fault: Fault, framing: Framing, body_done: bool) -> After {
        if self.figures.status != 0 {
            self.figures.reason = Some(fault.reason_when_begun());
            if fault == Fault::ClientSlow {
                self.scope.client.drop_unsent();
            }
            return After::Abort;
        }
        let Some(refusal) = fault.refusal() else {
            self.figures.reason = Some(ErrorReason::ClientAbort);
            return After::Abort;
        };
        let keep = self.scope.keeps_alive() && (framing == Framing::None || body_done) && fault.is_backends();
        self.answer(refusal, keep).await
    }
}
