//! Forward authentication: an auth upstream is asked about a request before anything of it goes to the route's own.

use std::future::poll_fn;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::time::timeout_at;

use crate::config::model::AuthSpec;
use crate::filter::{Ruling, denial_headers, ruling, stays_behind};
use crate::http1::{Framing, ResponseView, Version};
use crate::plan::{Denial, Refusal};
use crate::upstream::{Failure, Upstream};

use super::asking::Asking;
use super::attempt::{BackendResponse, RequestKind};
use super::body::Body;
use super::fault::Fault;
use super::heads::{self, RequestBodyOut, ResponseBodyOut};
use super::response_head::header_line;
use super::scope::RequestScope;
use super::sending::Outgoing;
use super::spool::Spool;
use super::upload::Upload;
use super::worker::Relay;

/// Largest body of a denial that is passed on; a larger one is replaced by the edge's own.
const BODY_MAX: usize = 64 * 1024;
/// How long the rest of a response that said yes is read, so that its connection can be used again.
const REST: Duration = Duration::from_millis(100);

/// What became of it.
pub(super) enum AuthOutcome {
    /// Yes, and these header lines say who the client is.
    Granted(Vec<u8>),
    /// No.
    Denied(Denial),
    /// Neither: the request must not go on. With what went wrong, for the error log.
    Neither(Refusal, String),
    /// The client left.
    Left,
}

/// Asks whether the request is allowed.
pub(super) async fn ask(scope: &RequestScope<'_, '_>, auth: &AuthSpec, upstream: &Upstream) -> AuthOutcome {
    let relay = scope.relay;
    let deadline = Instant::now() + auth.timeout;
    upstream.budget().deposit();
    let mut outgoing = Outgoing {
        head: relay.lines.take(),
        spool: Spool::default(),
        upload: Upload::new(Framing::None, Version::Http11, None),
        body: RequestBodyOut::None,
        streams: false,
    };
    request(&mut outgoing.head, scope, auth);
    let asked = RequestKind {
        is_head: false,
        version: Version::Http11,
        idempotent: true,
        upgrades: false,
        passes_interim: false,
    };
    let mut asking = Asking::new(upstream);
    let answered = timeout_at(deadline.into(), asking.ask(scope, asked, &mut outgoing)).await;
    let watch = scope.client.watch();
    watch.client_until(None);
    watch.backend_until(None);
    let fault = match answered {
        Ok(Ok(answered)) => match hear(relay, answered, auth, &asking, deadline).await {
            Ok(verdict) => return verdict,
            Err(status) => Fault::Backend(Failure::Status(status)),
        },
        Ok(Err(Fault::ClientLeft | Fault::ClientSlow)) => return AuthOutcome::Left,
        Ok(Err(fault)) => fault,
        // It was queued until then.
        Err(_) if asking.lease.is_none() => Fault::NoBackend(None, true),
        Err(_) => {
            // The deadline is the route's: a backend that was asked when most of it was gone is not to blame.
            if let Some(lease) = &asking.lease
                && auth.timeout <= asking.elapsed() * 2
            {
                upstream.failed(lease, Failure::Timeout);
            }
            Fault::Backend(Failure::Timeout)
        }
    };
    let (refusal, why) = match fault {
        Fault::Backend(failure) | Fault::NoBackend(Some(failure), false) => {
            (Refusal::auth_failed(failure), failure.to_string())
        }
        _ => (Refusal::auth_unavailable(), asking.trail.cause.unwrap_or("no backend accepted the request").to_owned()),
    };
    let backend = asking.lease.as_ref().map(|lease| lease.backend().label().to_owned()).or(asking.trail.last_backend);
    let backend = backend.map_or_else(String::new, |label| format!("{label}: "));
    AuthOutcome::Neither(refusal, format!("auth upstream {}: {backend}{why}", upstream.name()))
}

/// Writes the head that the auth upstream gets: a GET without a body, with what the client said of itself, and what is asked
/// about, as Traefik's ForwardAuth names it, and as nginx's users set it for `auth_request`.
fn request(out: &mut Vec<u8>, scope: &RequestScope<'_, '_>, auth: &AuthSpec) {
    let view = scope.view();
    for part in ["GET ", auth.path.as_str(), " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    heads::host(out, scope, auth.to.as_str());
    for (name, value) in heads::passed(scope) {
        if !stays_behind(name) {
            header_line(out, name, value);
        }
    }
    heads::introduce(out, scope);
    for (name, value) in [
        (&b"X-Original-Method"[..], scope.request.asked.method.as_bytes()),
        (b"X-Forwarded-Method", scope.request.asked.method.as_bytes()),
        (b"X-Original-URI", view.path_and_query()),
        (b"X-Forwarded-Uri", view.path_and_query()),
    ] {
        header_line(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
}

/// Makes sense of a response.
///
/// # Errors
/// With its status, where it says neither yes nor no.
async fn hear(
    relay: &Relay,
    answered: BackendResponse<'_>,
    auth: &AuthSpec,
    asking: &Asking<'_>,
    deadline: Instant,
) -> Result<AuthOutcome, u16> {
    let view = answered.head.view(answered.bytes.data());
    let code = answered.head.status;
    let status = StatusCode::from_u16(code).map_err(|_| code)?;
    let headers = header_map(&view);
    let verdict = match ruling(status, headers.contains_key(http::header::LOCATION)) {
        Ruling::Neither => return Err(code),
        Ruling::Granted => {
            let mut identity = Vec::new();
            for (_, name, value) in view.fields() {
                if auth.pass.iter().any(|header| header.is(name)) {
                    header_line(&mut identity, name, value);
                }
            }
            let until = deadline.min(Instant::now() + REST);
            read_rest(relay, answered, asking, until, 0).await;
            AuthOutcome::Granted(identity)
        }
        Ruling::Denied => {
            let body = read_rest(relay, answered, asking, deadline, BODY_MAX).await;
            AuthOutcome::Denied(Denial { status, headers: denial_headers(&headers, body.is_some()), body })
        }
    };
    Ok(verdict)
}

fn header_map(view: &ResponseView<'_>) -> HeaderMap {
    let header = |(_, name, value): (_, &[u8], &[u8])| {
        Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
    };
    let mut headers = HeaderMap::new();
    for (name, value) in view.fields().filter_map(header) {
        headers.append(name, value);
    }
    headers
}

/// Reads the body; `None` where it is larger than `most`, breaks off or is late. Keeps the connection where all was read.
async fn read_rest(
    relay: &Relay,
    answered: BackendResponse<'_>,
    asking: &Asking<'_>,
    until: Instant,
    most: usize,
) -> Option<Bytes> {
    let BackendResponse { wire, mut bytes, head, .. } = answered;
    let announced = head.view(bytes.data()).announced_keepalive();
    let mut body = Body::new(head.framing, ResponseBodyOut::Frames);
    bytes.used(head.length);
    body.take(&mut bytes).ok()?;
    let mut whole = Vec::new();
    let reading = poll_fn(|context| {
        loop {
            if whole.len() <= most {
                whole.extend_from_slice(bytes.data());
            }
            if body.done {
                return Poll::Ready(Some(()));
            }
            bytes.clear(0);
            match ready!(wire.poll_read(context, bytes.data_room())) {
                Ok(0) if body.end().is_err() => return Poll::Ready(None),
                Ok(0) => {}
                Err(_) => return Poll::Ready(None),
                Ok(count) => {
                    bytes.filled(count);
                    if body.take(&mut bytes).is_err() {
                        return Poll::Ready(None);
                    }
                }
            }
        }
    });
    timeout_at(until.into(), reading).await.ok().flatten()?;
    if head.keep_alive
        && !body.stray
        && let Some(lease) = &asking.lease
    {
        let idle = asking.upstream.spec().timeouts.idle;
        relay.pool.keep(lease.backend().address(), wire, relay.clock.now(), idle, announced);
    }
    relay.give_response_head(head);
    (whole.len() <= most).then(|| whole.into())
}
