//! Forward authentication: what of a client's head an auth upstream is asked with, what its answer means, and what of that
//! the client gets to see.
//!
//! nginx's `auth_request` allows what is answered 2xx, refuses with 401 and 403, and takes everything else for an error
//! (<https://nginx.org/en/docs/http/ngx_http_auth_request_module.html>); Traefik's ForwardAuth passes redirects to a login
//! page on as well (<https://doc.traefik.io/traefik/reference/routing-configuration/http/middlewares/forwardauth/>).

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName};

use crate::types::is_framing;

/// What an auth upstream's answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// The request goes on.
    Granted,
    /// The answer is the client's.
    Denied,
    /// It says neither: the request must not go on.
    Neither,
}

/// What an answer with this status means: 2xx grants, 401 and 403 deny, and so does a redirect that says where to go. 304
/// is none: it speaks of a copy that nobody asked about.
pub fn ruling(status: StatusCode, has_location: bool) -> Ruling {
    match status {
        status if status.is_success() => Ruling::Granted,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ruling::Denied,
        StatusCode::NOT_MODIFIED => Ruling::Neither,
        status if status.is_redirection() && has_location => Ruling::Denied,
        _ => Ruling::Neither,
    }
}

/// Headers of a client that an auth upstream does not get, beside those that frame its request: what asks for a part of
/// another resource, names under which proxies tell an auth upstream of the request, which only the edge may, and those that
/// frameworks take for another method or path of the question itself. So do all that begin with `if-`: the answer to a
/// condition on another resource would be 304 or 412, and neither says who the client is.
const LEFT: [&str; 10] = [
    "range",
    "x-forwarded-method",
    "x-forwarded-uri",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
];

/// True for a header of a client that an auth upstream does not get, of those that a service gets; in any case.
pub fn stays_behind(name: &[u8]) -> bool {
    let is_condition = name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"if-"));
    is_condition || is_framing(name) || LEFT.iter().any(|left| name.eq_ignore_ascii_case(left.as_bytes()))
}

/// What of a denial's fields the client gets. The first two of them are about its body and go where that goes.
static SHOWN: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::WWW_AUTHENTICATE,
    header::LOCATION,
    header::SET_COOKIE,
    header::CACHE_CONTROL,
];

/// The fields of a denial that the client gets: how to authenticate, where to go, cookies, how long it may be kept, and
/// what its body is, where that is passed on.
pub fn denial_headers(answer: &HeaderMap, with_body: bool) -> HeaderMap {
    let first = if with_body { 0 } else { 2 };
    let shown = SHOWN.iter().skip(first);
    shown.flat_map(|name| answer.get_all(name).iter().map(move |value| (name.clone(), value.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn only_a_clear_yes_grants() {
        #[rustfmt::skip]
        let rows = [
            // status  Location  ruling
            (200,      false,    Ruling::Granted),
            (204,      true,     Ruling::Granted),
            (299,      false,    Ruling::Granted),
            (401,      false,    Ruling::Denied),
            (403,      true,     Ruling::Denied),
            (301,      true,     Ruling::Denied),
            (302,      true,     Ruling::Denied),
            (307,      true,     Ruling::Denied),
            (302,      false,    Ruling::Neither),
            (304,      true,     Ruling::Neither),
            (101,      false,    Ruling::Neither),
            (400,      false,    Ruling::Neither),
            (404,      false,    Ruling::Neither),
            (407,      false,    Ruling::Neither),
            (429,      false,    Ruling::Neither),
            (500,      false,    Ruling::Neither),
            (503,      true,     Ruling::Neither),
            (999,      true,     Ruling::Neither),
        ];
        for (status, has_location, expected) in rows {
            assert_eq!(ruling(StatusCode::from_u16(status).unwrap(), has_location), expected, "{status}");
        }
    }

    #[test]
    fn credentials_are_carried_and_framing_is_not() {
        for name in ["Authorization", "cookie", "accept", "X-User-Id", "Iffy"] {
            assert!(!stays_behind(name.as_bytes()), "{name}");
        }
        for name in [
            "keep-alive",
            "TE",
            "trailer",
            "Proxy-Authorization",
            "Content-Type",
            "content-length",
            "expect",
            "If-None-Match",
            "if-modified-since",
            "Range",
            "X-Forwarded-Uri",
            "X-Original-URL",
        ] {
            assert!(stays_behind(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_client_sees_how_to_log_in_and_nothing_of_who_it_might_be() {
        let answer = headers(&[
            ("www-authenticate", "Basic realm=\"a\""),
            ("www-authenticate", "Bearer"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("location", "/login"),
            ("content-type", "text/plain"),
            ("content-encoding", "gzip"),
            ("cache-control", "max-age=1"),
            ("content-length", "5"),
            ("connection", "keep-alive"),
            ("server", "users/1.0"),
            ("x-user-id", "7"),
            ("access-control-allow-origin", "*"),
        ]);
        let shown = denial_headers(&answer, true);
        let values = |name: &str| shown.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(values("www-authenticate"), ["Basic realm=\"a\"", "Bearer"]);
        assert_eq!(values("set-cookie"), ["a=1", "b=2"]);
        assert_eq!((values("location"), values("cache-control")), (vec!["/login"], vec!["max-age=1"]));
        assert_eq!((values("content-type"), values("content-encoding")), (vec!["text/plain"], vec!["gzip"]));
        assert_eq!(shown.len(), 8);
        assert_eq!(denial_headers(&answer, false).len(), 6, "a body of the edge's own has a type of its own");
    }
}
