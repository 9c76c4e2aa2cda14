//! From the cause of a failure to the answer the client gets.

use http::StatusCode;
use pingora::{Error, ErrorSource, ErrorType};
use pingora_proxy::{FailToProxy, Session};

use crate::telemetry::ErrorReason;
use crate::upstream::{Failure, failure_of};

use super::context::RequestContext;
use super::reply::{Refusal, send_error};

/// What a failure means to the client.
struct Meaning {
    /// `None` when there is nobody left to tell.
    status: Option<StatusCode>,
    detail: &'static str,
    reason: ErrorReason,
}

impl Meaning {
    fn new(status: StatusCode, detail: &'static str, reason: ErrorReason) -> Self {
        Self { status: Some(status), detail, reason }
    }
}

/// Cause → status, sentence and reason, in one place.
fn meaning(error: &Error, held: bool) -> Meaning {
    if let ErrorType::HTTPStatus(code) = error.etype() {
        let nobody = if held { ErrorReason::HoldTimeout } else { ErrorReason::NoBackend };
        return match *code {
            413 => Meaning::new(StatusCode::PAYLOAD_TOO_LARGE, "the request body is too large", ErrorReason::TooLarge),
            503 => Meaning::new(StatusCode::SERVICE_UNAVAILABLE, "no backend is up; try again shortly", nobody),
            504 => Meaning::new(StatusCode::GATEWAY_TIMEOUT, TIMEOUT, ErrorReason::Timeout),
            400 => Meaning::new(StatusCode::BAD_REQUEST, "the request is malformed", ErrorReason::BadRequest),
            _ => Meaning::new(StatusCode::BAD_GATEWAY, "the backend failed", ErrorReason::BadAnswer),
        };
    }
    match error.esource() {
        ErrorSource::Upstream => backend_failed(failure_of(error)),
        ErrorSource::Downstream => match error.etype() {
            ErrorType::ReadTimedout => {
                Meaning::new(StatusCode::REQUEST_TIMEOUT, "the request took too long", ErrorReason::ClientTimeout)
            }
            ErrorType::WriteTimedout | ErrorType::WriteError | ErrorType::ReadError | ErrorType::ConnectionClosed => {
                Meaning { status: None, detail: "", reason: ErrorReason::ClientAbort }
            }
            _ => Meaning::new(StatusCode::BAD_REQUEST, "the request is malformed", ErrorReason::BadRequest),
        },
        ErrorSource::Internal | ErrorSource::Unset => {
            Meaning::new(StatusCode::INTERNAL_SERVER_ERROR, "the edge failed", ErrorReason::Internal)
        }
    }
}

const TIMEOUT: &str = "the backend did not answer in time";
const UNREACHABLE: &str = "the backend cannot be reached";

fn backend_failed(failure: Failure) -> Meaning {
    match failure {
        Failure::Timeout => Meaning::new(StatusCode::GATEWAY_TIMEOUT, TIMEOUT, ErrorReason::Timeout),
        Failure::ConnectTimeout => Meaning::new(StatusCode::GATEWAY_TIMEOUT, UNREACHABLE, ErrorReason::ConnectTimeout),
        Failure::Refused => Meaning::new(StatusCode::BAD_GATEWAY, UNREACHABLE, ErrorReason::Refused),
        Failure::ConnectFailed => Meaning::new(StatusCode::BAD_GATEWAY, UNREACHABLE, ErrorReason::ConnectFailed),
        Failure::Reset => Meaning::new(StatusCode::BAD_GATEWAY, "the backend broke off", ErrorReason::Reset),
        Failure::Status(_) | Failure::BadAnswer => {
            Meaning::new(StatusCode::BAD_GATEWAY, "the backend's answer is not valid HTTP", ErrorReason::BadAnswer)
        }
    }
}

/// Answers a request that failed, where its answer has not begun.
pub(super) async fn answer(session: &mut Session, error: &Error, ctx: &mut RequestContext) -> FailToProxy {
    let meaning = meaning(error, !ctx.held.is_zero());
    let begun = session.was_upgraded()
        || session.response_written().is_some_and(|response| !response.status.is_informational());
    let cut_off = begun && *error.esource() == ErrorSource::Upstream;
    ctx.reason = Some(if cut_off { ErrorReason::Truncated } else { meaning.reason });
    let Some(status) = meaning.status.filter(|_| !begun) else {
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    };
    // Pingora closes the connection after a failure; the client must know, or it sends its next request into the void.
    session.set_keepalive(None);
    let sent = send_error(session, ctx, Refusal::new(status, meaning.detail, meaning.reason)).await;
    if let Err(error) = &sent {
        log::debug!("the client left before its error: {error}");
    }
    FailToProxy { error_code: status.as_u16(), can_reuse_downstream: false }
}
