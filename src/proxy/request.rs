//! From the head as the client sent it to the head the backend gets.

use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};
use pingora::Result;
use pingora::http::RequestHeader;
use pingora_proxy::Session;
use tokio::sync::Semaphore;

use crate::config::model::Content;
use crate::filter::is_request_id;
use crate::http1::is_of_proxy;
use crate::plan::{self, Asked, Refusal, Verdict};

use crate::types::PaceLimits;

use super::context::RequestContext;
use super::facts::{REQUEST_ID, client_address, client_facts, content_length, host};
use super::intake;
use super::reply::{refuse, send_preflight};

/// How long what a client still sends is read after an answer that did not wait for it.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// Sets what Pingora leaves without a limit, for every request anew: it carries the last one's over.
pub(super) fn set_deadlines(session: &mut Session, pace: PaceLimits) {
    session.set_read_timeout(Some(pace.pause));
    session.set_write_timeout(Some(pace.pause));
    session.set_total_drain_timeout(Some(DRAIN_LIMIT));
}

/// Goes the way of the request as the program has it: answers what the edge answers itself (true: answered), and takes in a small body. Of that nothing is read, and no client is told to send it, before it is known that it is wanted.
pub(super) async fn admit(
    session: &mut Session,
    ctx: &mut RequestContext,
    pace: PaceLimits,
    buffers: &Arc<Semaphore>,
) -> Result<bool> {
    ctx.request_id = Some(request_id(session.req_header()));
    let (snapshot, mut walk) = (Arc::clone(&ctx.snapshot), ctx.walk);
    let request = session.req_header();
    let asked = Asked {
        listener: 0,
        method: request.method.as_str(),
        host: host(request),
        path: request.uri.path(),
        needs_host: false,
        length: content_length(request),
    };
    let refusal = match walk.next(&snapshot.program, &asked, &request.headers) {
        Verdict::Pass(_) => match &ctx.route.upstream {
            Some(upstream) => {
                upstream.budget().deposit();
                None
            }
            None => Some(Refusal::internal()),
        },
        Verdict::Preflight(preflight) => return send_preflight(session, ctx, preflight).await,
        Verdict::Refuse(refusal) => Some(refusal),
        // The front door sends no such request here.
        Verdict::Ask(_) => Some(Refusal::internal()),
    };
    if let Some(refusal) = refusal {
        return refuse(session, ctx, refusal).await;
    }
    ctx.body.limit = ctx.route.spec.body_limit.map(|limit| limit.0);
    intake::take_in(session, ctx, buffers, pace).await?;
    Ok(false)
}

/// The client's own request id where it is plain, else 32 random hex digits as nginx's `$request_id`.
fn request_id(request: &RequestHeader) -> HeaderValue {
    match request.headers.get(REQUEST_ID) {
        Some(own) if is_request_id(own.as_bytes()) => own.clone(),
        _ => HeaderValue::from_bytes(&plan::request_id()).unwrap_or_else(|_| HeaderValue::from_static("-")),
    }
}

/// Makes the client's head the backend's: path, forwarded fields, no field that could be taken for another.
/// Pingora has already removed the hop-by-hop fields.
pub(super) fn prepare(session: &Session, request: &mut RequestHeader, ctx: &mut RequestContext) -> Result<()> {
    drop_ambiguous(request);
    aim(request, ctx)?;
    introduce(session, request, ctx)?;
    if ctx.body.expectation_met {
        request.remove_header(&header::EXPECT);
    }
    strip(request, ctx)
}

/// A backend is asked for a path, whatever form the client's target had, and told a host (RFC 9112, section 3.2).
fn aim(request: &mut RequestHeader, ctx: &RequestContext) -> Result<()> {
    if let Some(path) = path_of_absolute(request.raw_path()) {
        request.set_raw_path(&path)?;
    }
    if request.headers.get(header::HOST).is_none()
        && let Some(upstream) = &ctx.route.upstream
    {
        request.insert_header(header::HOST, upstream.name().as_str())?;
    }
    Ok(())
}

/// Path and query of a target in absolute form, which the front door found to have some; `None` where it has another form.
fn path_of_absolute(target: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(target).ok()?;
    let (_, rest) = text.split_once("://").filter(|(scheme, _)| !scheme.contains('/'))?;
    rest.find('/').map(|start| rest[start..].into())
}

/// Sets what every backend is told of a client: who it is and by what id its request goes.
fn introduce(session: &Session, request: &mut RequestHeader, ctx: &RequestContext) -> Result<()> {
    let original = session.req_header();
    let text = client_address(session).to_canonical().to_string();
    let facts = client_facts(session, &text);
    if !ctx.snapshot.forwarding.trusts(facts.address) {
        remove(request, |name| is_of_proxy(name.as_bytes()));
    }
    let mut failed = None;
    ctx.snapshot.forwarding.apply(&facts, &original.headers, &mut |name, value| {
        failed = request.insert_header(name.clone(), value).err().or(failed.take());
    });
    if let Some(error) = failed {
        return Err(error);
    }
    if let Some(id) = &ctx.request_id {
        request.insert_header(REQUEST_ID, id.clone())?;
    }
    Ok(())
}

/// Fields with `_` in their names: WSGI and CGI read `X_Forwarded_For` as `X-Forwarded-For`; nginx drops them too.
fn drop_ambiguous(request: &mut RequestHeader) {
    remove(request, |name| name.contains('_'));
}

fn remove(request: &mut RequestHeader, goes: impl Fn(&str) -> bool) {
    let names: Vec<HeaderName> = request.headers.keys().filter(|name| goes(name.as_str())).cloned().collect();
    for name in names {
        request.remove_header(&name);
    }
}

/// Has the backend asked for the path that the route says.
fn strip(request: &mut RequestHeader, ctx: &RequestContext) -> Result<()> {
    let Content::Proxy(proxy) = &ctx.route.spec.content else { return Ok(()) };
    let Some(left) = plan::rewritten(&proxy.uri, request.uri.path()) else { return Ok(()) };
    let query = request.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let target = format!("{left}{query}");
    request.set_raw_path(target.as_bytes())
}
