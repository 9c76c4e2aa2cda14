//! A response of the edge's own: its status, headers and body, whichever lane sends it.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use crate::config::model::ErrorFormat;
use crate::content::{ErrorBody, wants_json};
use crate::filter::{Cors, Preflight};
use crate::snapshot::LiveRoute;

use super::refusal::Refusal;

/// Seconds a client is asked to wait before it tries again when nobody is up.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");
const ALLOW: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A response of the edge's own. The lane that sends it adds what its protocol needs for the connection.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnResponse {
    /// Sent as it is.
    pub status: StatusCode,
    /// Every header but `Date` and those of the connection; with the length of the body, where the status allows one.
    pub headers: HeaderMap,
    /// Not sent in response to HEAD.
    pub body: Bytes,
}

/// What of a request decides on the form of a response of the edge's own.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// Its route, where it has one.
    pub route: Option<&'a LiveRoute>,
    /// Its `Accept`.
    pub accept: Option<&'a [u8]>,
    /// Its `Origin`.
    pub origin: Option<&'a [u8]>,
    /// Its id; empty where it has none.
    pub request_id: &'a str,
}

impl Reader<'_> {
    /// A client of which nothing is known.
    pub const UNKNOWN: Self = Self { route: None, accept: None, origin: None, request_id: "" };
}

/// What an auth upstream said no with.
#[derive(Debug, Clone, PartialEq)]
pub struct Denial {
    /// 401, 403 or a redirect.
    pub status: StatusCode,
    /// Of its headers those that the client gets, as `filter::denial_headers` has them.
    pub headers: HeaderMap,
    /// Its body; `None` where it was too large or broke off, and the edge says the same in its own words.
    pub body: Option<Bytes>,
}

impl OwnResponse {
    /// An error with a body in the form the client reads, and with CORS headers where the route has CORS.
    pub fn refusal(refusal: Refusal, reader: Reader<'_>) -> Self {
        let format = reader.route.map_or(ErrorFormat::Auto, |route| route.spec.errors);
        let accept = reader.accept.and_then(|accept| std::str::from_utf8(accept).ok());
        let body = ErrorBody::new(refusal.status, refusal.detail, reader.request_id, wants_json(format, accept));
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(body.content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.bytes.len()));
        if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, ALLOW);
        }
        if let Some(cors) = reader.route.and_then(|route| route.cors.as_ref()) {
            add_cors(&mut headers, cors, reader.origin);
        }
        Self { status: refusal.status, headers, body: body.bytes }.with_id(reader.request_id)
    }

    /// The response of an auth upstream. It is kept by no cache unless it says that it may be.
    pub fn denied(denial: Denial, reader: Reader<'_>) -> Self {
        let mut response = Self::refusal(Refusal::denied(denial.status), reader);
        if let Some(bytes) = denial.body {
            response.headers.remove(header::CONTENT_TYPE);
            response.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
            response.body = bytes;
        }
        response.headers.extend(denial.headers);
        response
    }

    /// The response to a preflight.
    pub fn preflight(preflight: Preflight, request_id: &str) -> Self {
        let Preflight { status, mut headers } = preflight;
        // A 204 has no body, and says no length (RFC 9110, section 8.6).
        if status != StatusCode::NO_CONTENT {
            headers.insert(header::CONTENT_LENGTH, 0.into());
        }
        Self { status, headers, body: Bytes::new() }.with_id(request_id)
    }

    fn with_id(mut self, request_id: &str) -> Self {
        if let Ok(id) = HeaderValue::from_str(request_id)
            && !request_id.is_empty()
        {
            self.headers.insert(REQUEST_ID, id);
        }
        self
    }
}

fn add_cors(headers: &mut HeaderMap, cors: &Cors, origin: Option<&[u8]>) {
    for (name, value) in cors.edits(origin) {
        headers.append(name, value);
    }
}
