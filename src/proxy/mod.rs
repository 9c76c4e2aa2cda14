//! Pingora's proxy with our decisions, for plain requests of HTTP/1.1 where the file says `lane: full`. This file is a table of contents in phase order.

mod body;
mod context;
mod facts;
mod failure;
mod intake;
mod planned;
mod record;
mod reply;
mod request;
mod response;
mod upstream;

use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, Result};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use tokio::sync::{Semaphore, watch};

use crate::plan::Walk;
use crate::snapshot::SnapshotCell;
use crate::telemetry::{AccessLogger, Metrics};
use crate::types::{Active, PaceLimits};

pub use context::RequestContext;
pub use planned::Planned;

/// The edge as Pingora sees it.
#[derive(Clone)]
pub struct Edge {
    snapshots: Arc<SnapshotCell>,
    pace: PaceLimits,
    active: Arc<Active>,
    access: Arc<AccessLogger>,
    metrics: Arc<Metrics>,
    /// Memory that request bodies may wait in, KiB.
    buffers: Arc<Semaphore>,
    /// Turns true when the process takes no further requests.
    stopped: watch::Receiver<bool>,
}

impl Edge {
    /// An edge that serves whatever snapshot is in force.
    pub fn new(
        snapshots: Arc<SnapshotCell>,
        pace: PaceLimits,
        active: Arc<Active>,
        access: Arc<AccessLogger>,
        metrics: Arc<Metrics>,
        buffers: Arc<Semaphore>,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        Self { snapshots, pace, active, access, metrics, buffers, stopped }
    }
}

#[async_trait]
impl ProxyHttp for Edge {
    type CTX = RequestContext;

    fn new_ctx(&self) -> RequestContext {
        let lost = || Planned { snapshot: self.snapshots.current(), walk: Walk::lost(), start: Instant::now() };
        RequestContext::new(Planned::take().unwrap_or_else(lost), self.active.enter())
    }

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, _ctx: &mut RequestContext) -> Result<()> {
        request::set_deadlines(session, self.pace);
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<bool> {
        request::admit(session, ctx, self.pace, &self.buffers).await
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<Box<HttpPeer>> {
        upstream::choose(session, ctx).await
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        socket: RawFd,
        _digest: Option<&pingora::protocols::Digest>,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        upstream::connected(ctx, socket, reused);
        Ok(())
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut RequestContext,
        error: Box<Error>,
    ) -> Box<Error> {
        upstream::not_connected(ctx, error)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        request::prepare(session, request, ctx)
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end_of_stream: bool,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        ctx.body.pass(body)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        response::judge(session, response, ctx)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        response::edit(session, response, ctx, *self.stopped.borrow())
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut RequestContext,
        client_reused: bool,
    ) -> Box<Error> {
        upstream::broke(session, ctx, error, client_reused)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut RequestContext) -> FailToProxy {
        failure::answer(session, error, ctx).await
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut RequestContext) {
        record::finish(session, error, ctx, &self.metrics, &self.access);
    }

    fn suppress_error_log(&self, _: &Session, _: &RequestContext, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &RequestContext, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }
}
