//! What the parts of a request head may look like.

use http::StatusCode;

use super::scan::{BARE_LF, BadHead, METHOD_MAX, TOO_MANY, is_method_byte};

pub(super) fn check_method(method: &str) -> Result<(), BadHead> {
    match method {
        "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" => Ok(()),
        "CONNECT" => Err(BadHead::with(StatusCode::METHOD_NOT_ALLOWED, "CONNECT is not allowed")),
        "TRACE" => Err(BadHead::with(StatusCode::METHOD_NOT_ALLOWED, "TRACE is not allowed")),
        _ if METHOD_MAX < method.len() => Err(BadHead::with(StatusCode::NOT_IMPLEMENTED, "unknown request method")),
        _ if method.bytes().all(is_method_byte) => Ok(()),
        _ => Err(BadHead::bad("the request method is malformed")),
    }
}

pub(super) fn not_http(error: httparse::Error, bytes: &[u8]) -> BadHead {
    match error {
        httparse::Error::TooManyHeaders => TOO_MANY,
        httparse::Error::HeaderName => BadHead::bad("a header name is malformed"),
        httparse::Error::HeaderValue => BadHead::bad("a header value is malformed"),
        httparse::Error::NewLine => BARE_LF,
        httparse::Error::Version if has_other_version(bytes) => {
            BadHead::with(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "this HTTP version is not supported")
        }
        httparse::Error::Version => BadHead::bad("the request line is malformed"),
        httparse::Error::Status | httparse::Error::Token => BadHead::bad("the request line is malformed"),
    }
}

/// The request line ends in ` HTTP/D.D` with another version.
fn has_other_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|&byte| byte == b'\r').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
    let mut words = line.split(|&byte| byte == b' ');
    let (Some(_), Some(_), Some(version), None) = (words.next(), words.next(), words.next(), words.next()) else {
        return false;
    };
    matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// As nginx: exactly `chunked`.
pub(super) fn check_coding(value: &[u8]) -> Result<(), BadHead> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let why = "the only supported transfer coding is `chunked`";
    Err(BadHead::with(StatusCode::NOT_IMPLEMENTED, why))
}

/// Digits alone, as many as fit (RFC 9112, section 6.3): no sign, no list, nothing around them.
pub(super) fn body_length(value: &[u8]) -> Result<u64, BadHead> {
    const BAD: BadHead = BadHead::bad("Content-Length is not a number");
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(BAD);
    }
    text(value).parse().map_err(|_| BAD)
}

/// `name`, `name:port` or `[v6]:port`, of the characters RFC 3986 allows; no user before it.
pub(super) fn is_host(value: &[u8]) -> bool {
    let (name, port) = if value.first() == Some(&b'[') {
        let Some(end) = memchr::memchr(b']', value) else { return false };
        let inside = value.get(1..end).unwrap_or_default();
        let literal = inside.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.' | b'%' | b'v'));
        if inside.is_empty() || !literal {
            return false;
        }
        (inside, value.get(end + 1..).unwrap_or_default())
    } else {
        let end = memchr::memchr(b':', value).unwrap_or(value.len());
        let (name, port) = value.split_at(end);
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(b);
        if !name.iter().all(allowed) {
            return false;
        }
        (name, port)
    };
    let port_is_good = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    !name.is_empty() && port_is_good
}

/// Bytes that were checked to be UTF-8 before.
pub(super) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}
