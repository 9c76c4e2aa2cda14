//! What is done with a backend's answer on its way to the client.

use std::time::Instant;

use http::header;
use http::{HeaderValue, StatusCode, Version};
use nix::sys::socket::{Shutdown, shutdown};
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;

use crate::filter::Cors;
use crate::plan::{Next, Outcome};

use super::context::RequestContext;
use super::facts::REQUEST_ID;

/// Counts the answer for its backend, and asks another where the status is one that may be tried again.
pub(super) fn judge(session: &Session, response: &ResponseHeader, ctx: &mut RequestContext) -> Result<()> {
    let status = response.status;
    if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(());
    }
    close_where_a_body_may_follow(response, ctx);
    let now = Instant::now();
    ctx.answered_at = Some(now);
    let Some((upstream, lease)) = ctx.route.upstream.as_ref().zip(ctx.lease.as_ref()) else { return Ok(()) };
    upstream.answered(lease, status.as_u16(), now);
    let untouched = session.response_written().is_none();
    let safe = session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated() && untouched;
    let (backend, others) = (lease.backend().address(), (&**upstream, ctx.start));
    let outcome = Outcome::Status(status.as_u16());
    if ctx.attempts.after(outcome, backend, &upstream.spec().retry, safe, &others) == Next::Again {
        return Err(Error::explain(ErrorType::HTTPStatus(status.as_u16()), "retried on another backend").into_up());
    }
    Ok(())
}

/// A 204 has no body (RFC 9110, section 15.3.5); who announces one may send it all the same, as the start of the next
/// answer. Pingora keeps such a connection, so that it is closed here; its pool sees that.
fn close_where_a_body_may_follow(response: &ResponseHeader, ctx: &RequestContext) {
    let has_length = || response.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    let announces = response.headers.contains_key(header::TRANSFER_ENCODING) || has_length();
    if let (StatusCode::NO_CONTENT, true, Some(socket)) = (response.status, announces, ctx.socket) {
        let _ = shutdown(socket, Shutdown::Both); // it fails where the other side was faster
    }
}

/// Sets the edge's own fields.
pub(super) fn edit(
    session: &mut Session,
    response: &mut ResponseHeader,
    ctx: &RequestContext,
    is_stopping: bool,
) -> Result<()> {
    if response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(());
    }
    if is_stopping {
        session.set_keepalive(None);
    }
    // A client of HTTP/1.0 does not know chunks: it reads to the end of the connection.
    if session.req_header().version < Version::HTTP_11 && response.headers.contains_key(header::TRANSFER_ENCODING) {
        response.remove_header(&header::TRANSFER_ENCODING);
        session.set_keepalive(None);
    }
    if let Some(id) = &ctx.request_id {
        response.insert_header(REQUEST_ID, id.clone())?;
    }
    if let Some(cors) = &ctx.route.cors {
        apply_cors(session, response, cors)?;
    }
    Ok(())
}

/// Replaces the CORS fields of an answer, the edge's own errors included.
pub(super) fn apply_cors(session: &Session, response: &mut ResponseHeader, cors: &Cors) -> Result<()> {
    for name in Cors::owned() {
        response.remove_header(name);
    }
    for (name, value) in cors.edits(session.get_header(header::ORIGIN).map(HeaderValue::as_bytes)) {
        if name != header::VARY {
            response.insert_header(name, value)?;
        } else if !varies_by_origin(response) {
            response.append_header(name, value)?;
        }
    }
    Ok(())
}

fn varies_by_origin(response: &ResponseHeader) -> bool {
    response.headers.get_all(header::VARY).iter().any(|value| Cors::covers_origin(value.as_bytes()))
}
