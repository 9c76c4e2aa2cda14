//! Whether a request comes from an operator and not from a web page that fooled a browser. Pure.
//!
//! A page can make a browser send requests to a loopback address, and by DNS rebinding even read the answers; but then
//! `Host` is the page's own name, and a POST carries an `Origin`.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method};

/// What may be asked at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everything, by programs of this machine alone: `admin`.
    Full,
    /// Metrics and status, by whoever reaches it: `metrics`.
    ReadOnly,
}

impl Access {
    /// The key of the file that names such an address.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Full => "admin",
            Self::ReadOnly => "metrics",
        }
    }
}

/// Why a request is not answered.
pub(super) fn refusal(head: &Parts) -> Option<&'static str> {
    let host = host(&head.headers);
    if !host.is_some_and(is_loopback) || !head.uri.authority().is_none_or(|authority| is_loopback(authority.as_str())) {
        return Some("the Host header must be a loopback address or localhost");
    }
    let reads = matches!(head.method, Method::GET | Method::HEAD);
    if !reads && head.headers.get_all(ORIGIN).iter().any(|origin| !is_own(origin.as_bytes(), host)) {
        return Some("requests from web pages of other origins are not allowed");
    }
    None
}

/// The one `Host` field.
fn host(headers: &HeaderMap) -> Option<&str> {
    let mut fields = headers.get_all(HOST).iter();
    let field = fields.next().filter(|_| fields.next().is_none())?;
    field.to_str().ok()
}

fn is_own(origin: &[u8], host: Option<&str>) -> bool {
    origin.strip_prefix(b"http://").is_some_and(|authority| host.is_some_and(|host| host.as_bytes() == authority))
}

/// True for `localhost`, names below it, 127.0.0.0/8 and `[::1]`, with or without a port.
fn is_loopback(authority: &str) -> bool {
    let name = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inner, port)) if port.is_empty() || is_port(port) => inner,
        Some(_) => return false,
        None => match authority.rfind(':') {
            Some(colon) if is_port(&authority[colon..]) => &authority[..colon],
            Some(_) => return false,
            None => authority,
        },
    };
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_hosts_are_answered() {
        #[rustfmt::skip]
        let rows = [
            ("localhost",           true),
            ("LocalHost:9901",      true),
            ("localhost.:9901",     true),
            ("edge.localhost:9901", true),
            ("127.0.0.1:9901",      true),
            ("127.1.2.3",           true),
            ("[::1]:9901",          true),
            ("[::1]",               true),
            ("",                    false),
            ("evil.example",        false),
            ("evil.example:9901",   false),
            ("localhost.evil.com",  false),
            ("notlocalhost",        false),
            ("127.0.0.1.nip.io",    false),
            ("10.0.0.1:9901",       false),
            ("0.0.0.0:9901",        false),
            ("[::1]x",              false),
            ("localhost:80:80",     false),
            ("user@localhost",      false),
        ];
        for (host, answered) in rows {
            assert_eq!(is_loopback(host), answered, "{host}");
        }
    }

    fn refused(method: Method, uri: &str, fields: &[(&str, &str)]) -> bool {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        refusal(&request.body(()).unwrap().into_parts().0).is_some()
    }

    #[test]
    fn pages_of_other_origins_may_not_change_anything() {
        type Row = (Method, &'static str, &'static [(&'static str, &'static str)], bool);
        const LOCAL: (&str, &str) = ("host", "127.0.0.1:9901");
        #[rustfmt::skip]
        let rows: [Row; 8] = [
            (Method::POST, "/reload", &[LOCAL],                                          false),
            (Method::POST, "/reload", &[LOCAL, ("origin", "http://127.0.0.1:9901")],     false),
            (Method::POST, "/reload", &[LOCAL, ("origin", "http://localhost:3000")],     true),
            (Method::POST, "/reload", &[LOCAL, ("origin", "https://evil.example")],      true),
            (Method::POST, "/reload", &[LOCAL, ("origin", "null")],                      true),
            (Method::GET,  "/status", &[],                                               true),
            (Method::GET,  "/status", &[LOCAL, ("host", "evil.example")],                true),
            (Method::GET,  "http://evil.example/status", &[LOCAL],                       true),
        ];
        for (method, uri, fields, expected) in rows {
            assert_eq!(refused(method.clone(), uri, fields), expected, "{method} {uri} {fields:?}");
        }
    }
}
