//! What is written down when a request is over: one access log line, the route's counters, a warning where the edge
//! failed it.

use std::borrow::Cow;
use std::time::{Instant, SystemTime};

use crate::http1::{Known, RequestView, Version};
use crate::snapshot::Route;
use crate::telemetry::metrics::Lane;
use crate::telemetry::{AccessEntry, ErrorReason, one_line};
use crate::upstream::Lease;

use super::asking::Trail;
use super::question::Question;

/// nginx's status for a client that left before its answer; it is logged and never sent.
const CLIENT_LEFT: u16 = 499;

/// One request's figures.
#[derive(Debug)]
pub(super) struct Record {
    pub start: Instant,
    /// 0 until an answer has begun.
    pub status: u16,
    pub body_in: u64,
    pub body_out: u64,
    /// The way through the backends.
    pub trail: Trail,
    pub reason: Option<ErrorReason>,
    /// What went wrong, for the error log.
    pub cause: Option<Cow<'static, str>>,
}

impl Record {
    pub fn new(start: Instant) -> Self {
        Self { start, status: 0, body_in: 0, body_out: 0, trail: Trail::default(), reason: None, cause: None }
    }

    /// Writes the request down; `lease` is the backend claimed last.
    pub fn finish(&mut self, question: &Question<'_, '_>, lease: Option<&Lease>) {
        let (relay, route, view, id) = (question.relay, question.route(), question.view(), question.id);
        if self.status == 0 {
            self.status = CLIENT_LEFT;
            self.reason.get_or_insert(ErrorReason::ClientAbort);
        }
        let duration = relay.clock.tick().saturating_duration_since(self.start);
        let metrics = route.map_or(&relay.shared.unrouted, |route| &route.metrics);
        metrics.finished(self.status, duration, self.body_in, self.body_out);
        relay.shared.metrics.took_lane(Lane::Fast);
        if let Some(reason) = self.reason {
            metrics.failed(reason);
        }
        for _ in 1..self.trail.attempts {
            metrics.retried();
        }
        if !self.trail.queued.is_zero() {
            metrics.held();
        }
        if (500..600).contains(&self.status) && self.reason.is_some() {
            self.warn(route, view, id);
        }
        if !relay.shared.access.is_on() {
            return;
        }
        relay.shared.access.log(&AccessEntry {
            client: Some(question.request.snapshot.forwarding.client_address(&question.facts, view)),
            method: view.method().as_bytes(),
            target: view.target(),
            version: match view.head().version {
                Version::Http10 => http::Version::HTTP_10,
                Version::Http11 => http::Version::HTTP_11,
                Version::Http2 => http::Version::HTTP_2,
            },
            status: self.status,
            body_bytes: self.body_out,
            referer: view.get(Known::Referer),
            user_agent: view.get(Known::UserAgent),
            host: Some(question.facts.host.as_bytes()).filter(|host| !host.is_empty()),
            request_id: Some(id),
            route: route.map(|route| &*route.label),
            upstream: route.map(|route| route.upstream.name().as_str()),
            backend: lease.map(|lease| lease.backend().label()).or(self.trail.last_backend.as_deref()),
            tries: self.trail.attempts,
            duration,
            connect: self.trail.connect,
            first_byte: self.trail.first_byte,
            held: Some(self.trail.queued).filter(|held| !held.is_zero()),
            note: self.reason.map(ErrorReason::as_str),
            ..AccessEntry::at(SystemTime::now())
        });
    }

    /// One line a second and route about requests the edge failed; the access log has them all.
    fn warn(&self, route: Option<&Route>, view: &RequestView<'_>, id: &[u8]) {
        let Some(left_out) = route.map_or(Some(0), |route| route.warnings.admit()) else { return };
        let reason = self.reason.map_or("", ErrorReason::as_str);
        let more = if left_out == 0 { String::new() } else { format!("; {left_out} similar suppressed") };
        let cause = self.trail.cause.or(self.cause.as_deref()).unwrap_or(reason);
        let (method, path, id) = (view.method(), one_line(view.path()), String::from_utf8_lossy(id));
        log::warn!("{method} {path} failed with {} ({reason}): {cause}, request {id}{more}", self.status);
    }
}
