//! An answer of the edge's own: its fields and body, whichever lane sends it.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use crate::config::model::ErrorFormat;
use crate::content::{ErrorBody, wants_json};
use crate::filter::Cors;
use crate::snapshot::Route;

use super::refusal::Refusal;

/// Seconds a client is asked to wait before it tries again when nobody is up.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");
const ALLOW: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An error with a body in the form the client reads, and CORS fields where the route has CORS.
#[derive(Debug)]
pub struct ErrorAnswer {
    /// Sent as it is.
    pub status: StatusCode,
    /// Every field but those of the connection.
    pub fields: HeaderMap,
    /// Never empty, unless an auth upstream wants it so.
    pub body: ErrorBody,
}

/// What an auth upstream said no with.
#[derive(Debug, Clone, PartialEq)]
pub struct Denial {
    /// 401, 403 or a redirect.
    pub status: StatusCode,
    /// Of its fields those that the client gets, as `filter::denial_fields` has them.
    pub fields: HeaderMap,
    /// Its body; `None` where it was too large or broke off, and the edge says the same in its own words.
    pub body: Option<Bytes>,
}

impl ErrorAnswer {
    /// The answer to a request with these `Accept` and `Origin` fields.
    pub fn new(
        refusal: Refusal,
        route: Option<&Route>,
        accept: Option<&[u8]>,
        origin: Option<&[u8]>,
        request_id: &str,
    ) -> Self {
        let format = route.map_or(ErrorFormat::Auto, |route| route.spec.errors);
        let accept = accept.and_then(|accept| std::str::from_utf8(accept).ok());
        let body = ErrorBody::new(refusal.status, refusal.detail, request_id, wants_json(format, accept));
        let mut fields = HeaderMap::with_capacity(8);
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(body.content_type));
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(body.bytes.len()));
        if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
            fields.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
            fields.insert(header::ALLOW, ALLOW);
        }
        if let Ok(id) = HeaderValue::from_str(request_id)
            && !request_id.is_empty()
        {
            fields.insert(REQUEST_ID, id);
        }
        if let Some(cors) = route.and_then(|route| route.cors.as_ref()) {
            add_cors(&mut fields, cors, origin);
        }
        Self { status: refusal.status, fields, body }
    }

    /// The answer of an auth upstream, to a request with these `Accept` and `Origin` fields. It is kept by no cache unless
    /// it says that it may be.
    pub fn denied(
        denial: Denial,
        route: Option<&Route>,
        accept: Option<&[u8]>,
        origin: Option<&[u8]>,
        request_id: &str,
    ) -> Self {
        let mut answer = Self::new(Refusal::denied(denial.status), route, accept, origin, request_id);
        if let Some(bytes) = denial.body {
            answer.fields.remove(header::CONTENT_TYPE);
            answer.fields.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
            answer.body.bytes = bytes;
        }
        answer.fields.extend(denial.fields);
        answer
    }
}

fn add_cors(fields: &mut HeaderMap, cors: &Cors, origin: Option<&[u8]>) {
    for (name, value) in cors.edits(origin) {
        fields.append(name, value);
    }
}
