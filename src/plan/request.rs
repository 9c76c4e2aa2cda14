//! Where a request goes and what it is on its way there.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;

use crate::routing::{caseless, may_be_folded, normal_path, readings};
use crate::snapshot::{Auth, Folded, Route, Snapshot};
use crate::telemetry::ErrorReason;

use super::refusal::Refusal;

/// What decides on the route.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a str,
    /// `Host` or `:authority`; empty where there is none.
    pub host: &'a str,
    /// The path as sent, without the query.
    pub path: &'a str,
    /// False for HTTP/1.0, which may come without a host.
    pub needs_host: bool,
}

/// The route of a request.
///
/// # Errors
/// With the answer for a request that has none, or could be read in two ways.
pub fn find_route<'s>(snapshot: &'s Snapshot, asked: Asked<'_>) -> Result<&'s Arc<Route>, Refusal> {
    if asked.method == "TRACE" {
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "TRACE is not allowed", ErrorReason::BadRequest));
    }
    if asked.host.is_empty() && asked.needs_host {
        return Err(Refusal::bad_request("the request has no host"));
    }
    let path = if asked.path == "*" && asked.method == "OPTIONS" { "/" } else { asked.path };
    let path = normal_path(path).map_err(|_| Refusal::bad_request("ambiguous path encoding"))?;
    let found = snapshot.routes.find(asked.host, &path);
    if let Some(folded) = &snapshot.folded
        && (folded.has_capitals || may_be_folded(asked.path))
        && evades(snapshot, folded, asked, found)
    {
        return Err(Refusal::bad_request("ambiguous path encoding"));
    }
    found.ok_or(Refusal::new(StatusCode::NOT_FOUND, "no matching route", ErrorReason::NoRoute))
}

/// True where a backend that reads the path in another way than routes do takes it for one that somebody must be asked
/// about, and `found` does not ask: it gets the path as sent, and each folds away other things.
fn evades(snapshot: &Snapshot, folded: &Folded, asked: Asked<'_>, found: Option<&Arc<Route>>) -> bool {
    let is_asked_too =
        |auth: &Auth| found.and_then(|found| found.auth.as_ref()).is_some_and(|own| own.spec == auth.spec);
    readings(asked.path).iter().any(|reading| {
        let as_written = snapshot.routes.find(asked.host, reading);
        // Two routes that differ in capitals alone are told apart on purpose.
        let differs = |other: &&Arc<Route>| {
            found.is_none_or(|found| caseless(found.spec.path.as_str()) != caseless(other.spec.path.as_str()))
        };
        let whatever_case = folded.routes.find(asked.host, &caseless(reading)).filter(differs);
        let others = [as_written, whatever_case].into_iter().flatten();
        others.filter_map(|other| other.auth.as_ref()).any(|auth| !is_asked_too(auth))
    })
}

/// The largest body a route takes, bytes; `None` is no limit.
pub fn body_limit(route: &Route, usual: u64) -> Option<u64> {
    let limit = route.spec.body_limit.map_or(usual, |size| size.0);
    (limit != 0).then_some(limit)
}

/// A new request id: 32 random hex digits, as nginx's `$request_id`.
pub fn request_id() -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let random = fastrand::u128(..);
    std::array::from_fn(|at| DIGITS[usize::try_from(random >> (at * 4) & 15).unwrap_or_default()])
}

/// The path the backend gets, where the route says `strip`; `None` where it is the path as sent. It starts with `/`.
pub fn stripped<'p>(route: &Route, sent: &'p str) -> Option<Cow<'p, str>> {
    if !route.spec.strip || route.spec.path.is_root() {
        return None;
    }
    // As sent, where nothing in it is escaped or doubled in a way that hides the prefix.
    if let Some(rest) = route.spec.path.rest(sent) {
        return Some(if rest.starts_with('/') { rest.into() } else { format!("/{rest}").into() });
    }
    let normal = normal_path(sent).ok()?;
    let rest = route.spec.path.rest(&normal).unwrap_or("/");
    let rest = escaped(rest);
    Some(if rest.starts_with('/') { rest.into() } else { format!("/{rest}").into() })
}

/// A decoded path, safe to send: everything but unreserved characters and `/` escaped.
fn escaped(path: &str) -> String {
    const KEPT: percent_encoding::AsciiSet =
        percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    percent_encoding::utf8_percent_encode(path, &KEPT).to_string()
}
