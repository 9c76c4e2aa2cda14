//! The way of a request through the program: which route it is for, and what has to be done with it next. Pure: no clock, no
//! socket. A lane asks for the next verdict, does what it says, and asks again.

use http::StatusCode;

use crate::config::model::{AuthSpec, Content, Gate, HostId, Proxy, RouteId};
use crate::filter::Preflight;
use crate::http1::{Fields, Framing, RequestView};
use crate::routing::{caseless, may_be_folded, normal_path, readings};
use crate::snapshot::Program;
use crate::telemetry::ErrorReason;

use super::refusal::Refusal;

/// What decides on the way.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The number of the listener it came in by.
    pub listener: usize,
    /// The method.
    pub method: &'a str,
    /// `Host` or `:authority`; empty where there is none.
    pub host: &'a str,
    /// The path as sent, without the query.
    pub path: &'a str,
    /// False for HTTP/1.0, which may come without a host.
    pub needs_host: bool,
    /// The body's length, bytes, where it is announced.
    pub length: Option<u64>,
}

impl<'a> Asked<'a> {
    /// What a head says.
    pub fn of(view: &RequestView<'a>, listener: usize, needs_host: bool) -> Self {
        let length = match view.head().framing {
            Framing::Length(length) => Some(length),
            Framing::None | Framing::Chunked => None,
        };
        Self { listener, method: view.method(), host: view.host(), path: view.path(), needs_host, length }
    }
}

/// How far a request is. A few bytes that a lane may hand to another.
#[derive(Debug, Clone, Copy)]
pub struct Walk {
    route: RouteId,
    /// Decided when the route was found.
    refusal: Option<Refusal>,
    /// Gates behind it.
    passed: usize,
}

/// What has to be done next.
#[derive(Debug)]
pub enum Verdict<'p> {
    /// A backend of the route's upstream makes the response.
    Pass(&'p Proxy),
    /// The route's auth upstream is to be asked. Where it says yes, the walk goes on.
    Ask(&'p AuthSpec),
    /// A preflight is answered.
    Preflight(Preflight),
    /// The request is refused.
    Refuse(Refusal),
}

impl Walk {
    /// Finds the route. A request that must not go on has one too, for the form of the response.
    pub fn start(program: &Program, asked: &Asked<'_>) -> Self {
        let host = program.host(asked.listener, asked.host);
        let (route, refusal) = match find(program, host, asked) {
            Ok(route) => (route.unwrap_or(program.own(host)), None),
            Err(refusal) => (program.own(host), Some(refusal)),
        };
        Self { route, refusal, passed: 0 }
    }

    /// One that ends at once: its request was lost on the way to the lane that serves it.
    pub fn lost() -> Self {
        Self { route: RouteId(u32::MAX), refusal: Some(Refusal::internal()), passed: 0 }
    }

    /// The route.
    pub fn route(&self) -> RouteId {
        self.route
    }

    /// True where the next verdicts may ask an auth upstream.
    pub fn may_ask(&self, program: &Program) -> bool {
        self.refusal.is_none() && program.route(self.route).is_some_and(|route| route.spec.auth().is_some())
    }

    /// What has to be done next.
    pub fn next<'p>(&mut self, program: &'p Program, asked: &Asked<'_>, headers: &impl Fields) -> Verdict<'p> {
        if let Some(refusal) = self.refusal {
            return Verdict::Refuse(refusal);
        }
        let Some(route) = program.route(self.route) else { return Verdict::Refuse(Refusal::internal()) };
        for gate in route.spec.gates.iter().skip(self.passed) {
            self.passed += 1;
            match gate {
                Gate::Cors => {
                    let cors = route.cors.as_ref();
                    if let Some(preflight) = cors.and_then(|cors| cors.preflight(asked.method, headers)) {
                        return Verdict::Preflight(preflight);
                    }
                }
                Gate::Body => {
                    let limit = route.spec.body_limit;
                    if asked.length.zip(limit).is_some_and(|(length, limit)| limit.0 < length) {
                        return Verdict::Refuse(Refusal::too_large());
                    }
                }
                Gate::Auth(auth) => return Verdict::Ask(auth),
            }
        }
        match &route.spec.content {
            Content::Proxy(proxy) => Verdict::Pass(proxy),
            Content::NotFound => Verdict::Refuse(Refusal::no_route()),
        }
    }
}

/// The route of the file, if one takes the request.
fn find(program: &Program, host: HostId, asked: &Asked<'_>) -> Result<Option<RouteId>, Refusal> {
    if asked.method == "TRACE" {
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "TRACE is not allowed", ErrorReason::BadRequest));
    }
    if asked.host.is_empty() && asked.needs_host {
        return Err(Refusal::bad_request("the request has no host"));
    }
    let path = if asked.path == "*" && asked.method == "OPTIONS" { "/" } else { asked.path };
    let path = normal_path(path).map_err(|_| Refusal::ambiguous())?;
    let found = program.find(host, &path);
    let may_evade = program.asks() && (program.asks_in_capitals() || may_be_folded(asked.path));
    if may_evade && evades(program, host, asked.path, found) { Err(Refusal::ambiguous()) } else { Ok(found) }
}

/// True where a backend that reads the path in another way than routes do takes it for one that an auth upstream must be
/// asked about, and `found` does not ask: it gets the path as sent, and each folds away other things.
fn evades(program: &Program, host: HostId, path: &str, found: Option<RouteId>) -> bool {
    let spec = |id: RouteId| program.route(id).map(|route| &*route.spec);
    let found = found.and_then(spec);
    let is_asked_too = |auth: &AuthSpec| found.and_then(|found| found.auth()).is_some_and(|own| own == auth);
    readings(path).iter().any(|reading| {
        let as_written = program.find(host, reading).and_then(spec);
        let whatever_case = program.find_caseless(host, reading).and_then(spec).filter(|other| {
            // Two routes that differ in capitals alone are told apart on purpose.
            found.is_none_or(|found| caseless(found.path.as_str()) != caseless(other.path.as_str()))
        });
        let others = [as_written, whatever_case].into_iter().flatten();
        others.filter_map(|other| other.auth()).any(|auth| !is_asked_too(auth))
    })
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
