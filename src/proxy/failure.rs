//! From the cause of a failure to the answer the client gets.

use pingora::{Error, ErrorSource, ErrorType};
use pingora_proxy::{FailToProxy, Session};

use crate::plan::{Refusal, UNREADABLE};
use crate::telemetry::ErrorReason;
use crate::upstream::{Failure, failure_of, is_late};

use super::context::RequestContext;
use super::reply::send_error;

/// Cause → answer; `None` when there is nobody left to tell.
fn meaning(error: &Error, ctx: &RequestContext) -> (Option<Refusal>, ErrorReason) {
    let refusal = match (error.esource(), error.etype()) {
        (_, ErrorType::HTTPStatus(413)) => Refusal::too_large(),
        (_, ErrorType::HTTPStatus(503)) if ctx.is_shed => Refusal::overloaded(),
        (_, ErrorType::HTTPStatus(502..=504)) => Refusal::no_backend(ctx.attempts.last(), !ctx.held.is_zero()),
        (_, ErrorType::HTTPStatus(400)) => UNREADABLE,
        (_, ErrorType::HTTPStatus(status)) => Refusal::backend_failed(Failure::Status(*status)),
        (ErrorSource::Upstream, _) => Refusal::backend_failed(failure_of(error)),
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => Refusal::too_slow(),
        (ErrorSource::Downstream, ErrorType::ReadError) if is_late(error) => Refusal::too_slow(),
        (ErrorSource::Downstream, ErrorType::ReadError) if is_malformed(error) => UNREADABLE,
        (ErrorSource::Downstream, ErrorType::WriteTimedout) => return (None, ErrorReason::ClientTimeout),
        (ErrorSource::Downstream, ErrorType::WriteError) if is_late(error) => {
            return (None, ErrorReason::ClientTimeout);
        }
        (ErrorSource::Downstream, ErrorType::WriteError | ErrorType::ReadError | ErrorType::ConnectionClosed) => {
            return (None, ErrorReason::ClientAbort);
        }
        (ErrorSource::Downstream, _) => UNREADABLE,
        (ErrorSource::Internal | ErrorSource::Unset, _) => Refusal::internal(),
    };
    (Some(refusal), refusal.reason)
}

/// True where the front door found a body in chunks malformed.
fn is_malformed(error: &Error) -> bool {
    let io = error.root_cause().downcast_ref::<std::io::Error>();
    io.is_some_and(|io| io.kind() == std::io::ErrorKind::InvalidData)
}

/// Answers a request that failed, where its answer has not begun.
pub(super) async fn answer(session: &mut Session, error: &Error, ctx: &mut RequestContext) -> FailToProxy {
    let (refusal, reason) = meaning(error, ctx);
    let begun = session.response_written().is_some_and(|response| !response.status.is_informational());
    let cut_off = begun && *error.esource() == ErrorSource::Upstream;
    ctx.reason = Some(if cut_off { ErrorReason::Truncated } else { reason });
    let Some(refusal) = refusal.filter(|_| !begun) else {
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    };
    // Pingora closes the connection after a failure; the client must know, or it sends its next request into the void.
    session.set_keepalive(None);
    let sent = send_error(session, ctx, refusal).await;
    if let Err(error) = &sent {
        log::debug!("the client left before the error response: {error}");
    }
    FailToProxy { error_code: refusal.status.as_u16(), can_reuse_downstream: false }
}
