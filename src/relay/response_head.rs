//! The head of a response in the client's protocol: its parts, and the heads that need no request to be known.

use std::io::Write as _;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};

use crate::http1::{Known, ResponseView, Version};
use crate::plan::OwnResponse;

use super::buffer::Line;
use super::worker::Relay;

/// The head of a response in the client's protocol.
pub(super) enum HeadOut<'w> {
    /// HTTP/1
    Text(Line<'w>),
    /// HTTP/2
    Frame(Box<Response<()>>),
}

impl HeadOut<'_> {
    /// One of HTTP/2.
    pub fn frame() -> Self {
        Self::Frame(Box::new(Response::new(())))
    }

    /// One of HTTP/2 that says nothing but this.
    pub fn of_status(status: u16) -> Self {
        let mut head = Self::frame();
        head.start(status, b"");
        head
    }

    /// Begins it.
    pub fn start(&mut self, status: u16, reason: &[u8]) {
        match self {
            Self::Text(out) => {
                let _ = write!(out, "HTTP/1.1 {status} ");
                out.extend_from_slice(reason);
                out.extend_from_slice(b"\r\n");
            }
            Self::Frame(response) => {
                // Read from a head that has three digits.
                *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            }
        }
    }

    /// Adds a header.
    pub fn header(&mut self, name: &[u8], value: &[u8]) {
        match self {
            Self::Text(out) => header_line(out, name, value),
            Self::Frame(response) => {
                if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                    response.headers_mut().append(name, value);
                }
            }
        }
    }

    /// Adds the request's id. In HTTP/2 it is for no table (RFC 7541, section 7.1.3): no two are the same, and each would
    /// push out what comes again.
    pub fn id(&mut self, id: &[u8]) {
        match self {
            Self::Text(_) => self.header(b"X-Request-Id", id),
            Self::Frame(response) => {
                if let Ok(mut value) = HeaderValue::from_bytes(id) {
                    value.set_sensitive(true);
                    response.headers_mut().insert(HeaderName::from_static("x-request-id"), value);
                }
            }
        }
    }

    /// Ends it, and says what becomes of the connection, where that is not what the client's version expects.
    pub fn end(&mut self, version: Version, keep_alive: bool) {
        let Self::Text(out) = self else { return };
        match (version, keep_alive) {
            (Version::Http11 | Version::Http2, true) => {}
            (Version::Http10, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
            (_, false) => out.extend_from_slice(b"Connection: close\r\n"),
        }
        out.extend_from_slice(b"\r\n");
    }

    /// What is left of it to be written, in HTTP/1.
    pub fn text(&self) -> &[u8] {
        match self {
            Self::Text(out) => out,
            Self::Frame(_) => b"",
        }
    }

    /// The whole of it, in HTTP/2.
    pub fn into_frame(self) -> Option<Response<()>> {
        match self {
            Self::Text(_) => None,
            Self::Frame(response) => Some(*response),
        }
    }
}

/// Writes a header of HTTP/1.
pub(super) fn header_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes an interim response, such as 103: passed on as it is.
pub(super) fn interim(out: &mut HeadOut<'_>, view: &ResponseView<'_>) {
    out.start(view.head().status, view.reason());
    for (known, name, value) in view.fields() {
        if !known.is_hop_by_hop() && known != Known::ContentLength {
            out.header(name, value);
        }
    }
    out.end(Version::Http11, true);
}

/// Writes the head of a response of the edge's own.
pub(super) fn own(out: &mut HeadOut<'_>, relay: &Relay, response: &OwnResponse, version: Version, keep_alive: bool) {
    out.start(response.status.as_u16(), response.status.canonical_reason().unwrap_or_default().as_bytes());
    relay.clock.with_date(|date| out.header(b"Date", date));
    for (name, value) in &response.headers {
        out.header(name.as_str().as_bytes(), value.as_bytes());
    }
    out.end(version, keep_alive);
}

/// The trailers of a response, for HTTP/2: the lines behind the last chunk.
pub(super) fn trailers(ending: &[u8]) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    for line in ending.split(|&byte| byte == b'\n').skip(1) {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            trailers.append(name, value);
        }
    }
    trailers
}
