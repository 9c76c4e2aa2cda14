//! Heads as they are sent on: the request to the backend, the response to the client.

use http::header::{self, HeaderName};

use crate::config::model::Proxy;
use crate::filter::Cors;
use crate::http1::{Known, ResponseFraming, ResponseView, Version};
use crate::plan;
use crate::snapshot::LiveRoute;

use super::response_head::{HeadOut, header_line};
use super::scope::RequestScope;

/// How a request's body is sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestBodyOut {
    None,
    Length(u64),
    Chunks,
}

/// How an answer's body is sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResponseBodyOut {
    /// As it comes, with the length it came with.
    AsIs,
    /// Chunks as they come.
    Chunks,
    /// What comes is put into chunks.
    IntoChunks,
    /// The data alone, ended by the connection's end.
    UntilClose,
    /// The data alone, ended as HTTP/2 ends it.
    Frames,
}

/// Writes the head the backend gets. `identity` is what the auth upstream said of the client, where one was asked.
pub(super) fn request(
    out: &mut Vec<u8>,
    scope: &RequestScope<'_, '_>,
    proxy: &Proxy,
    body: RequestBodyOut,
    identity: &[u8],
) {
    let view = scope.view();
    out.extend_from_slice(scope.request.asked.method.as_bytes());
    out.push(b' ');
    match plan::rewritten(&proxy.uri, scope.request.asked.path) {
        Some(path) => {
            out.extend_from_slice(path.as_bytes());
            out.extend_from_slice(view.query());
        }
        None => out.extend_from_slice(view.path_and_query()),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    host(out, scope, proxy.to.as_str());
    let replaced = scope.route().spec.auth().map_or(&[][..], |auth| &auth.pass);
    for (name, value) in passed(scope) {
        if !replaced.iter().any(|header| header.is(name)) {
            header_line(out, name, value);
        }
    }
    out.extend_from_slice(identity);
    introduce(out, scope);
    match body {
        RequestBodyOut::None => {}
        RequestBodyOut::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        RequestBodyOut::Chunks => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    if view.head().is_websocket {
        out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// The client's headers that a service gets as they are.
pub(super) fn passed<'a>(scope: &RequestScope<'a, '_>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let view = scope.view();
    let trusted = scope.request.snapshot.forwarding.trusts(scope.facts.address);
    view.fields().filter_map(move |(known, name, value)| {
        let passes = match known {
            Known::Other
            | Known::Accept
            | Known::AccessControl
            | Known::AskedHeaders
            | Known::AskedMethod
            | Known::Date
            | Known::Origin
            | Known::Referer
            | Known::Trailer
            | Known::UserAgent
            | Known::Vary => !view.is_nominated(name),
            Known::Forwarded => trusted,
            _ => false,
        };
        passes.then_some((name, value))
    })
}

/// The host the client asked for; `usual` where it named none.
pub(super) fn host(out: &mut Vec<u8>, scope: &RequestScope<'_, '_>, usual: &str) {
    let host = if scope.facts.host.is_empty() { usual } else { scope.facts.host };
    header_line(out, b"Host", host.as_bytes());
}

/// What the edge itself says of the client.
pub(super) fn introduce(out: &mut Vec<u8>, scope: &RequestScope<'_, '_>) {
    let mut set = |name: &HeaderName, value: &[u8]| header_line(out, name.as_str().as_bytes(), value);
    scope.request.snapshot.forwarding.apply(&scope.facts, scope.view(), &mut set);
    header_line(out, b"X-Request-Id", scope.id);
}

/// How the body of a response goes to a client of this version.
pub(super) fn response_body_out(framing: ResponseFraming, version: Version) -> ResponseBodyOut {
    match (framing, version) {
        (ResponseFraming::None | ResponseFraming::Length(_), _) => ResponseBodyOut::AsIs,
        (ResponseFraming::Chunked, Version::Http11) => ResponseBodyOut::Chunks,
        (ResponseFraming::UntilClose, Version::Http11) => ResponseBodyOut::IntoChunks,
        (ResponseFraming::Chunked | ResponseFraming::UntilClose, Version::Http10) => ResponseBodyOut::UntilClose,
        (ResponseFraming::Chunked | ResponseFraming::UntilClose, Version::Http2) => ResponseBodyOut::Frames,
    }
}

/// Writes the head the client gets.
pub(super) fn response(
    out: &mut HeadOut<'_>,
    view: &ResponseView<'_>,
    scope: &RequestScope<'_, '_>,
    route: &LiveRoute,
) {
    let version = scope.view().head().version;
    out.start(view.head().status, view.reason());
    let body = response_body_out(view.head().framing, version);
    let (mut has_length, mut has_date) = (false, false);
    for (known, name, value) in view.fields() {
        let passes = match known {
            Known::XRequestId => false,
            Known::AccessControl => route.cors.is_none() || !Cors::owns(name),
            // Two that are equal count as one; a client may think otherwise.
            Known::ContentLength => body == ResponseBodyOut::AsIs && !std::mem::replace(&mut has_length, true),
            Known::Date => !std::mem::replace(&mut has_date, true),
            known => !known.is_hop_by_hop() && !view.is_nominated(name),
        };
        if passes {
            out.header(name, value);
        }
    }
    if !has_date {
        scope.relay.clock.with_date(|date| out.header(b"Date", date));
    }
    out.id(scope.id);
    if let Some(cors) = &route.cors {
        for (name, value) in cors.edits(scope.view().get(Known::Origin)) {
            if name != header::VARY || !varies_by_origin(view) {
                out.header(name.as_str().as_bytes(), value.as_bytes());
            }
        }
    }
    if view.head().status == 101 {
        out.header(b"Connection", b"Upgrade");
        out.header(b"Upgrade", b"websocket");
    }
    if matches!(body, ResponseBodyOut::Chunks | ResponseBodyOut::IntoChunks) {
        out.header(b"Transfer-Encoding", b"chunked");
    }
    let stays = view.head().status == 101 || (scope.keeps_alive() && body != ResponseBodyOut::UntilClose);
    out.end(version, stays);
}

fn varies_by_origin(view: &ResponseView<'_>) -> bool {
    view.fields().any(|(known, _, value)| known == Known::Vary && Cors::covers_origin(value))
}
