//! Answers the edge gives itself: refusals, errors, preflights.

use std::time::Duration;

use http::{Method, StatusCode, header};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora_proxy::Session;

use crate::config::model::ErrorFormat;
use crate::content::{ErrorBody, wants_json};

use crate::telemetry::ErrorReason;

use super::context::RequestContext;
use super::request::REQUEST_ID;
use super::response::apply_cors;

/// Seconds a client is asked to wait before it tries again when nobody is up.
const RETRY_AFTER: &str = "5";

/// How long, and how much, is read of a body that nobody wants.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 4 << 20;

/// A status and a sentence for the reader of the error body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub detail: &'static str,
    pub reason: ErrorReason,
}

impl Refusal {
    pub fn new(status: StatusCode, detail: &'static str, reason: ErrorReason) -> Self {
        Self { status, detail, reason }
    }
}

/// Answers with an error; always true, for the phase that asks whether the request was answered.
pub(super) async fn refuse(session: &mut Session, ctx: &mut RequestContext, refusal: Refusal) -> Result<bool> {
    ctx.reason = Some(refusal.reason);
    if refusal.status == StatusCode::PAYLOAD_TOO_LARGE || refusal.status == StatusCode::BAD_REQUEST {
        session.set_keepalive(None);
    }
    send_error(session, ctx, refusal).await?;
    Ok(true)
}

/// Sends an error with a body in the form the client reads, and with CORS fields where the route has CORS.
pub(super) async fn send_error(session: &mut Session, ctx: &RequestContext, refusal: Refusal) -> Result<()> {
    let format = ctx.route.as_ref().map_or(ErrorFormat::Auto, |route| route.spec.errors);
    let accept = session.get_header(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let body = ErrorBody::new(refusal.status, refusal.detail, ctx.request_id(), wants_json(format, accept));
    let mut response = ResponseHeader::build(refusal.status, Some(8))?;
    response.insert_header(header::CONTENT_TYPE, body.content_type)?;
    response.insert_header(header::CACHE_CONTROL, "no-store")?;
    response.insert_header(header::CONTENT_LENGTH, body.bytes.len())?;
    if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
        response.insert_header(header::RETRY_AFTER, RETRY_AFTER)?;
    }
    if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
        response.insert_header(header::ALLOW, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")?;
    }
    if let Some(id) = &ctx.request_id {
        response.insert_header(REQUEST_ID, id.clone())?;
    }
    if let Some(cors) = ctx.route.as_ref().and_then(|route| route.cors.as_ref()) {
        apply_cors(session, &mut response, cors)?;
    }
    let is_head = session.req_header().method == Method::HEAD;
    session.write_response_header(Box::new(response), is_head).await?;
    // Also with nothing to send: in HTTP/2 this is what ends the stream.
    session.write_response_body((!is_head).then_some(body.bytes), true).await?;
    linger(session).await;
    Ok(())
}

/// Reads on for a while where the client is still sending: closing at once would reset the connection, and the answer
/// could be lost with it (RFC 9112, section 9.6).
async fn linger(session: &mut Session) {
    if session.is_http2() || session.is_body_done() {
        return;
    }
    let read = async {
        let mut left = LINGER_BYTES;
        while let Ok(Some(bytes)) = session.read_request_body().await {
            left = left.saturating_sub(bytes.len());
            if left == 0 {
                return;
            }
        }
    };
    // A client that sends slower than this has had time to read the answer.
    let _ = tokio::time::timeout(LINGER, read).await;
}

/// Answers a CORS preflight, where the request is one and the route has CORS.
pub(super) async fn send_preflight(session: &mut Session, ctx: &RequestContext) -> Result<bool> {
    let request = session.req_header();
    let cors = ctx.route.as_ref().and_then(|route| route.cors.as_ref());
    let Some(answer) = cors.and_then(|cors| cors.preflight(&request.method, &request.headers)) else {
        return Ok(false);
    };
    let mut response = ResponseHeader::build(answer.status, Some(8))?;
    for (name, value) in &answer.headers {
        response.insert_header(name, value.clone())?;
    }
    if let Some(id) = &ctx.request_id {
        response.insert_header(REQUEST_ID, id.clone())?;
    }
    if answer.status != StatusCode::NO_CONTENT {
        response.insert_header(header::CONTENT_LENGTH, 0)?;
    }
    session.write_response_header(Box::new(response), true).await?;
    Ok(true)
}
