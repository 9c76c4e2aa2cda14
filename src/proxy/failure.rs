//! From the cause of a failure to the answer the client gets and the line the operator reads.

use http::StatusCode;
use pingora::{Error, ErrorSource, ErrorType};
use pingora_proxy::{FailToProxy, Session};

use crate::upstream::{FailureKind, failure_kind};

use super::context::RequestContext;
use super::reply::{Refusal, send_error};

/// nginx's status for a client that left before its answer; it is logged and never sent.
pub(super) const CLIENT_LEFT: u16 = 499;

/// What a failure means to the client.
struct Meaning {
    /// `None` when there is nobody left to tell.
    status: Option<StatusCode>,
    detail: &'static str,
    note: &'static str,
}

impl Meaning {
    fn new(status: StatusCode, detail: &'static str, note: &'static str) -> Self {
        Self { status: Some(status), detail, note }
    }
}

/// Cause → status, reason and note, in one place.
fn meaning(error: &Error) -> Meaning {
    if let ErrorType::HTTPStatus(code) = error.etype() {
        return match *code {
            413 => Meaning::new(StatusCode::PAYLOAD_TOO_LARGE, "the request body is too large", "body_limit"),
            503 => Meaning::new(StatusCode::SERVICE_UNAVAILABLE, "no backend is up; try again shortly", "no_backend"),
            504 => Meaning::new(StatusCode::GATEWAY_TIMEOUT, "the backend did not answer in time", "timeout"),
            400 => Meaning::new(StatusCode::BAD_REQUEST, "the request is malformed", "bad_request"),
            _ => Meaning::new(StatusCode::BAD_GATEWAY, "the backend failed", "upstream_status"),
        };
    }
    match error.esource() {
        ErrorSource::Upstream => match failure_kind(error) {
            FailureKind::Timeout => {
                Meaning::new(StatusCode::GATEWAY_TIMEOUT, "the backend did not answer in time", "timeout")
            }
            FailureKind::Refused => Meaning::new(StatusCode::BAD_GATEWAY, "the backend cannot be reached", "refused"),
            FailureKind::Reset => Meaning::new(StatusCode::BAD_GATEWAY, "the backend broke off", "reset"),
            FailureKind::Status(_) | FailureKind::Other => {
                Meaning::new(StatusCode::BAD_GATEWAY, "the backend's answer is not valid HTTP", "bad_response")
            }
        },
        ErrorSource::Downstream => match error.etype() {
            ErrorType::ReadTimedout => {
                Meaning::new(StatusCode::REQUEST_TIMEOUT, "the request took too long", "slow_client")
            }
            ErrorType::WriteTimedout | ErrorType::WriteError | ErrorType::ReadError | ErrorType::ConnectionClosed => {
                Meaning { status: None, detail: "", note: "client_left" }
            }
            _ => Meaning::new(StatusCode::BAD_REQUEST, "the request is malformed", "bad_request"),
        },
        ErrorSource::Internal | ErrorSource::Unset => {
            Meaning::new(StatusCode::INTERNAL_SERVER_ERROR, "the edge failed", "internal")
        }
    }
}

/// Answers a request that failed, where its answer has not begun.
pub(super) async fn answer(session: &mut Session, error: &Error, ctx: &mut RequestContext) -> FailToProxy {
    let meaning = meaning(error);
    ctx.note = Some(meaning.note);
    let begun = session.response_written().is_some_and(|response| !response.status.is_informational());
    let Some(status) = meaning.status.filter(|_| !begun) else {
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    };
    // Where the client may still be sending, the connection cannot carry another request.
    let reuse = session.is_body_done() && status.is_server_error();
    if !reuse {
        session.set_keepalive(None);
    }
    let sent = send_error(session, ctx, Refusal::new(status, meaning.detail)).await;
    if let Err(error) = &sent {
        log::debug!("the client left before its error: {error}");
    }
    FailToProxy { error_code: status.as_u16(), can_reuse_downstream: reuse && sent.is_ok() }
}

/// The request is over.
pub(super) fn finish(session: &mut Session, error: Option<&Error>, ctx: &mut RequestContext) {
    let status = session.response_written().map_or(CLIENT_LEFT, |response| response.status.as_u16());
    if let Some(error) = error.filter(|_| status >= 500) {
        let request = session.req_header();
        let backend = ctx.lease.as_ref().map(|lease| lease.backend().address());
        log::warn!(
            "request {} {} {} -> {status}: {error} (last backend {backend:?})",
            ctx.request_id(),
            request.method,
            request.uri.path()
        );
    }
    ctx.lease = None;
}
