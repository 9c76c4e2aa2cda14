//! The figures of one request, gathered until it is over.

use std::borrow::Cow;
use std::time::{Instant, SystemTime};

use crate::http1::{Known, Version};
use crate::plan;
use crate::telemetry::metrics::Lane;
use crate::telemetry::{AccessEntry, ErrorReason};
use crate::upstream::Lease;

use super::asking::Trail;
use super::scope::RequestScope;

/// One request's figures.
#[derive(Debug)]
pub(super) struct Figures {
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

impl Figures {
    pub fn new(start: Instant) -> Self {
        Self { start, status: 0, body_in: 0, body_out: 0, trail: Trail::default(), reason: None, cause: None }
    }

    /// Writes the request down; `lease` is the backend claimed last.
    pub fn finish(&self, scope: &RequestScope<'_, '_>, lease: Option<&Lease>) {
        let (relay, view) = (scope.relay, scope.view());
        let access = &relay.shared.access;
        let client = || scope.request.snapshot.forwarding.client_address(&scope.facts, view);
        let entry = AccessEntry {
            client: access.is_on().then(client),
            method: scope.request.asked.method.as_bytes(),
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
            host: Some(scope.facts.host.as_bytes()).filter(|host| !host.is_empty()),
            request_id: Some(scope.id),
            backend: lease.map(|lease| lease.backend().label()).or(self.trail.last_backend.as_deref()),
            tries: self.trail.attempts,
            duration: relay.clock.tick().saturating_duration_since(self.start),
            connect: self.trail.connect,
            first_byte: self.trail.first_byte,
            held: Some(self.trail.queued).filter(|held| !held.is_zero()),
            ..AccessEntry::at(SystemTime::now())
        };
        let record = plan::Record {
            entry,
            route: scope.route(),
            lane: Lane::Fast,
            path: scope.request.asked.path,
            body_in: self.body_in,
            reason: self.reason,
            cause: self.trail.cause.or(self.cause.as_deref()),
        };
        record.finish(&relay.shared.metrics, access);
    }
}
