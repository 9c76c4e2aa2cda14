//! What is known of a request by looking at it: its client, its host, its length.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::header::{self, HeaderName};
use pingora::http::RequestHeader;
use pingora::protocols::http::authority::raw_target_authority;
use pingora_proxy::Session;

use crate::filter::ClientFacts;

/// The field a request id travels in.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The host the client asked for: `Host`, or that of an absolute target, which stands alone in HTTP/1.0.
pub(super) fn host(request: &RequestHeader) -> &str {
    let field = request.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = || request.uri.authority().map(http::uri::Authority::as_str);
    let target = || std::str::from_utf8(raw_target_authority(request.raw_path()).authority()?).ok();
    field.or_else(authority).or_else(target).unwrap_or_default()
}

/// The address at the other end of the connection.
pub(super) fn client_address(session: &Session) -> IpAddr {
    let client = session.client_addr().and_then(|address| address.as_inet()).map(SocketAddr::ip);
    client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// What the connection says about the client; `text` is its address.
pub(super) fn client_facts<'a>(session: &'a Session, text: &'a str) -> ClientFacts<'a> {
    let is_tls = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
    let scheme = if is_tls { "https" } else { "http" };
    ClientFacts { address: client_address(session), text, scheme, host: host(session.req_header()) }
}

/// The declared length of the body.
pub(super) fn content_length(request: &RequestHeader) -> Option<u64> {
    request.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}
