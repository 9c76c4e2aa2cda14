//! Heads as they are sent on: the request to the backend, the answer to the client.

use std::io::Write as _;

use http::header::HeaderName;

use crate::filter::Cors;
use crate::http1::{Known, ResponseFraming, ResponseView, Version};
use crate::plan;
use crate::snapshot::Route;

use super::question::Question;

/// How a request's body is sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyOut {
    None,
    Length(u64),
    Chunks,
}

/// How an answer's body is sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerOut {
    /// As it comes, with the length it came with.
    AsIs,
    /// Chunks as they come.
    Chunks,
    /// What comes is put into chunks.
    IntoChunks,
    /// The data alone, ended by the connection's end.
    UntilClose,
}

fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes the head the backend gets.
pub(super) fn request(out: &mut Vec<u8>, question: &Question<'_, '_>, route: &Route, body: BodyOut) {
    let (view, facts) = (question.view(), &question.facts);
    out.extend_from_slice(view.method().as_bytes());
    out.push(b' ');
    match plan::stripped(route, view.path()) {
        Some(path) => {
            out.extend_from_slice(path.as_bytes());
            out.extend_from_slice(view.query());
        }
        None => out.extend_from_slice(view.path_and_query()),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let host = if facts.host.is_empty() { route.upstream.name().as_str() } else { facts.host };
    field(out, b"Host", host.as_bytes());
    let forwarding = &question.request.snapshot.forwarding;
    let trusted = forwarding.trusts(facts.address);
    for (known, name, value) in view.fields() {
        let passes = match known {
            Known::Other
            | Known::Accept
            | Known::AccessControl
            | Known::AskedHeaders
            | Known::AskedMethod
            | Known::Origin
            | Known::Referer
            | Known::Trailer
            | Known::UserAgent
            | Known::Vary => !view.is_nominated(name),
            Known::Forwarded => trusted,
            _ => false,
        };
        if passes {
            field(out, name, value);
        }
    }
    forwarding.apply(facts, view, &mut |name: &HeaderName, value| field(out, name.as_str().as_bytes(), value));
    field(out, b"X-Request-Id", question.id);
    match body {
        BodyOut::None => {}
        BodyOut::Length(length) => {
            let _ = write!(out, "Content-Length: {length}\r\n");
        }
        BodyOut::Chunks => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    out.extend_from_slice(b"\r\n");
}

/// How the body of an answer goes to a client of this version.
pub(super) fn answer_out(framing: ResponseFraming, version: Version) -> AnswerOut {
    match (framing, version) {
        (ResponseFraming::None | ResponseFraming::Length(_), _) => AnswerOut::AsIs,
        (ResponseFraming::Chunked, Version::Http11) => AnswerOut::Chunks,
        (ResponseFraming::UntilClose, Version::Http11) => AnswerOut::IntoChunks,
        (ResponseFraming::Chunked | ResponseFraming::UntilClose, Version::Http10) => AnswerOut::UntilClose,
    }
}

/// Writes the head the client gets.
pub(super) fn answer(out: &mut Vec<u8>, view: &ResponseView<'_>, question: &Question<'_, '_>, route: &Route) {
    let version = question.view().head().version;
    status_line(out, view.head().status, view.reason());
    let body = answer_out(view.head().framing, version);
    let mut has_length = false;
    for (known, name, value) in view.fields() {
        let passes = match known {
            Known::XRequestId => false,
            Known::AccessControl => route.cors.is_none() || !Cors::owns(name),
            // Two that are equal count as one; a client may think otherwise.
            Known::ContentLength => body == AnswerOut::AsIs && !std::mem::replace(&mut has_length, true),
            known => !known.is_hop_by_hop() && !view.is_nominated(name),
        };
        if passes {
            field(out, name, value);
        }
    }
    field(out, b"X-Request-Id", question.id);
    if let Some(cors) = &route.cors {
        for (name, value) in cors.edits(question.view().get(Known::Origin)) {
            if name != http::header::VARY || !varies_by_origin(view) {
                field(out, name.as_str().as_bytes(), value.as_bytes());
            }
        }
    }
    if matches!(body, AnswerOut::Chunks | AnswerOut::IntoChunks) {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    connection(out, version, question.keeps_alive() && body != AnswerOut::UntilClose);
    out.extend_from_slice(b"\r\n");
}

/// An interim answer, such as 103: passed on as it is.
pub(super) fn interim(out: &mut Vec<u8>, view: &ResponseView<'_>) {
    status_line(out, view.head().status, view.reason());
    for (known, name, value) in view.fields() {
        if !known.is_hop_by_hop() && known != Known::ContentLength {
            field(out, name, value);
        }
    }
    out.extend_from_slice(b"\r\n");
}

pub(super) fn status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    let _ = write!(out, "HTTP/1.1 {status} ");
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// Says what becomes of the connection, where it is not what the client's version expects.
pub(super) fn connection(out: &mut Vec<u8>, version: Version, keep_alive: bool) {
    match (version, keep_alive) {
        (Version::Http11, true) => {}
        (Version::Http10, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (_, false) => out.extend_from_slice(b"Connection: close\r\n"),
    }
}

fn varies_by_origin(view: &ResponseView<'_>) -> bool {
    view.fields().any(|(known, _, value)| known == Known::Vary && Cors::covers_origin(value))
}
