//! Answers the edge gives itself: refusals, errors, preflights.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora_proxy::Session;

use crate::filter::Preflight;
use crate::plan::{OwnResponse, Reader, Refusal};

use super::context::RequestContext;

/// How long, and how much, is read of a body that nobody wants.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 4 << 20;

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
    let reader = Reader {
        route: Some(&*ctx.route),
        accept: field(session, header::ACCEPT),
        origin: field(session, header::ORIGIN),
        request_id: ctx.request_id(),
    };
    let response = OwnResponse::refusal(refusal, reader);
    send(session, response).await
}

fn field(session: &Session, name: HeaderName) -> Option<&[u8]> {
    session.get_header(name).map(HeaderValue::as_bytes)
}

async fn send(session: &mut Session, own: OwnResponse) -> Result<()> {
    let mut response = ResponseHeader::build(own.status, Some(8))?;
    for (name, value) in &own.headers {
        response.append_header(name, value.clone())?;
    }
    let is_bare = session.req_header().method == Method::HEAD || own.body.is_empty();
    session.write_response_header(Box::new(response), is_bare).await?;
    session.write_response_body((!is_bare).then_some(own.body), true).await?;
    linger(session).await;
    Ok(())
}

/// Reads on for a while where the client is still sending: closing at once would reset the connection, and the answer
/// could be lost with it (RFC 9112, section 9.6).
async fn linger(session: &mut Session) {
    if session.is_body_done() {
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

/// Answers a CORS preflight; always true, as `refuse`.
pub(super) async fn send_preflight(session: &mut Session, ctx: &RequestContext, preflight: Preflight) -> Result<bool> {
    send(session, OwnResponse::preflight(preflight, ctx.request_id())).await?;
    Ok(true)
}
