//! Answers the edge gives itself: refusals, errors, preflights.

use std::time::Instant;

use http::StatusCode;

use crate::filter::Preflight;
use crate::http1::{Known, Version};
use crate::plan::{ErrorAnswer, Refusal};

use crate::telemetry::AccessEntry;
use crate::telemetry::metrics::Lane;

use super::Relay;
use super::client::Client;
use super::heads::{connection, status_line};
use super::question::Question;
use super::record::Record;

async fn send(
    relay: &Relay,
    client: &Client<'_>,
    answer: &ErrorAnswer,
    version: Version,
    keep_alive: bool,
    body: &[u8],
) -> std::io::Result<u64> {
    let mut out = relay.lines.take();
    head(&mut out, answer.status, &answer.fields, version, keep_alive);
    client.send(relay, &out, body).await?;
    Ok(body.len() as u64)
}

fn head(out: &mut Vec<u8>, status: StatusCode, fields: &http::HeaderMap, version: Version, keep_alive: bool) {
    status_line(out, status.as_u16(), status.canonical_reason().unwrap_or_default().as_bytes());
    for (name, value) in fields {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    connection(out, version, keep_alive);
    out.extend_from_slice(b"\r\n");
}

/// Sends the answer to a preflight.
pub(super) async fn preflight(
    question: &Question<'_, '_>,
    answer: &Preflight,
    keep_alive: bool,
) -> std::io::Result<()> {
    let mut fields = answer.headers.clone();
    if let Ok(id) = http::HeaderValue::from_bytes(question.id) {
        fields.insert("x-request-id", id);
    }
    if answer.status != StatusCode::NO_CONTENT {
        fields.insert(http::header::CONTENT_LENGTH, 0.into());
    }
    let mut out = question.relay.lines.take();
    head(&mut out, answer.status, &fields, question.view().head().version, keep_alive);
    question.client.send(question.relay, &out, b"").await
}

/// Refuses what cannot be read, or came too late: nobody knows what was asked. Written down, answered, and the client
/// gets time to read the answer; the connection is to be closed.
pub async fn refuse(relay: &Relay, client: &Client<'_>, refusal: Refusal, start: Instant) {
    let _counted = relay.shared.active.enter();
    let answer = ErrorAnswer::new(refusal, None, None, None, "");
    let sent = send(relay, client, &answer, Version::Http11, false, &answer.body.bytes).await.unwrap_or_default();
    let status = refusal.status.as_u16();
    relay.shared.unrouted.finished(status, start.elapsed(), 0, sent);
    relay.shared.unrouted.failed(refusal.reason);
    relay.shared.metrics.took_lane(Lane::Fast);
    if relay.shared.access.is_on() {
        relay.shared.access.log(&AccessEntry {
            client: Some(client.address),
            status,
            body_bytes: sent,
            duration: start.elapsed(),
            note: Some(refusal.reason.as_str()),
            ..AccessEntry::at(std::time::SystemTime::now())
        });
    }
    client.linger(relay).await;
}

/// Answers a request the edge refuses or fails; true when the answer went out.
pub(super) async fn refused(
    question: &Question<'_, '_>,
    refusal: Refusal,
    keep_alive: bool,
    record: &mut Record,
) -> bool {
    record.reason = Some(refusal.reason);
    record.cause.get_or_insert(refusal.detail);
    let (relay, client, view) = (question.relay, question.client, question.view());
    let id = std::str::from_utf8(question.id).unwrap_or_default();
    let answer = ErrorAnswer::new(refusal, question.route(), view.get(Known::Accept), view.get(Known::Origin), id);
    let body: &[u8] = if view.method() == "HEAD" { b"" } else { &answer.body.bytes };
    match send(relay, client, &answer, view.head().version, keep_alive, body).await {
        Ok(sent) => {
            record.status = refusal.status.as_u16();
            record.body_out = sent;
            true
        }
        Err(_) => false,
    }
}
