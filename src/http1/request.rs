//! Request heads: complete or not, and if so in one reading alone.

use std::mem::MaybeUninit;

use http::StatusCode;
use http::header::HeaderName;
use httparse::Status;

use super::fields::{Field, Fields, Known, Span, is_token_in_list};

/// Fields that can be counted at all; `HeadLimits::fields` is at most this.
const FIELDS_MAX: usize = 256;
/// Empty lines before a request that are passed over (RFC 9112, section 2.2).
const EMPTY_LINES: usize = 2;
/// Longest method, bytes; the longest registered one has 16.
const METHOD_MAX: usize = 32;

/// The client's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes, at least one.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// What a head may measure.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// The whole of it, bytes.
    pub size: usize,
    /// Fields, at most 256.
    pub fields: usize,
    /// The target, bytes.
    pub target: usize,
}

/// Why a head is refused. The words are for the answer's body and the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadHead {
    /// 400, 405, 414, 431, 501 or 505.
    pub status: StatusCode,
    /// One clause.
    pub why: &'static str,
}

impl BadHead {
    const fn bad(why: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, why }
    }

    const fn with(status: StatusCode, why: &'static str) -> Self {
        Self { status, why }
    }
}

const TOO_MANY: BadHead =
    BadHead::with(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the request has too many header fields");
const TOO_LARGE: BadHead = BadHead::with(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the request head is too large");
const TOO_LONG: BadHead = BadHead::with(StatusCode::URI_TOO_LONG, "the request target is too long");
const BARE_LF: BadHead = BadHead::bad("a line ends without a carriage return");

/// How far a head that arrives in pieces has been looked at, so that no byte is looked at twice.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scan {
    looked_at: usize,
    tried: bool,
}

impl Scan {
    /// The length of the head in `bytes`, once it is complete; `None` while more has to be read.
    ///
    /// # Errors
    /// As soon as what is there cannot become a head any more.
    pub fn end(&mut self, bytes: &[u8], limits: HeadLimits) -> Result<Option<usize>, BadHead> {
        let empty_lines = leading_empty_lines(bytes);
        for at in memchr::memchr_iter(b'\n', &bytes[self.looked_at..]).map(|at| at + self.looked_at) {
            if at == 0 || bytes[at - 1] != b'\r' {
                return Err(BARE_LF);
            }
            // The line is empty: it ends where it begins.
            let is_empty = at >= 3 && bytes[at - 2] == b'\n';
            if is_empty && empty_lines * 2 < at {
                return if limits.size < at + 1 { Err(too_large(bytes, limits)) } else { Ok(Some(at + 1)) };
            }
        }
        self.looked_at = bytes.len();
        if limits.size < bytes.len() {
            return Err(too_large(bytes, limits));
        }
        if EMPTY_LINES < empty_lines {
            return Err(BadHead::bad("the request begins with empty lines"));
        }
        // What is no HTTP at all, such as a TLS greeting on a plain port, is told without waiting for its end.
        if !self.tried && !bytes.is_empty() {
            self.tried = true;
            may_begin(&bytes[empty_lines * 2..])?;
        }
        Ok(None)
    }
}

fn leading_empty_lines(bytes: &[u8]) -> usize {
    bytes.chunks_exact(2).take(EMPTY_LINES + 1).take_while(|pair| *pair == b"\r\n").count()
}

fn too_large(bytes: &[u8], limits: HeadLimits) -> BadHead {
    let line = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    if limits.target < line { TOO_LONG } else { TOO_LARGE }
}

fn may_begin(bytes: &[u8]) -> Result<(), BadHead> {
    let method = bytes.iter().take_while(|&&byte| is_method_byte(byte)).count();
    match bytes.get(method) {
        None if method <= METHOD_MAX => Ok(()),
        Some(b' ') if method != 0 => Ok(()),
        Some(b'\r') if method == 0 => Ok(()),
        Some(_) | None => Err(BadHead::bad("this is not an HTTP request")),
    }
}

/// As nginx: capitals, `_` and `-`.
fn is_method_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-')
}

/// A head that was understood. Its memory is used again for the next one.
#[derive(Debug)]
pub struct RequestHead {
    /// Bytes it takes, with the empty line at its end.
    pub length: usize,
    method: Span,
    target: Span,
    /// Path and query of the target.
    path_and_query: Span,
    authority: Span,
    fields: Vec<Field>,
    /// The client's protocol.
    pub version: Version,
    /// Its body.
    pub framing: Framing,
    /// The client wants the connection kept.
    pub keep_alive: bool,
    /// The client waits for leave to send its body.
    pub expects_continue: bool,
    /// The client asks for a WebSocket.
    pub is_websocket: bool,
    /// `Connection` names fields beyond those that always go.
    nominates: bool,
}

impl Default for RequestHead {
    fn default() -> Self {
        Self {
            length: 0,
            method: Span::default(),
            target: Span::default(),
            path_and_query: Span::default(),
            authority: Span::default(),
            fields: Vec::with_capacity(16),
            version: Version::Http11,
            framing: Framing::None,
            keep_alive: false,
            expects_continue: false,
            is_websocket: false,
            nominates: false,
        }
    }
}

/// A head together with its bytes.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'a> {
    head: &'a RequestHead,
    bytes: &'a [u8],
}

impl RequestHead {
    /// Reads the head that `bytes` are, as [`Scan::end`] measured it.
    ///
    /// # Errors
    /// When it is not HTTP/1.0 or HTTP/1.1, or could be read in two ways.
    pub fn read(&mut self, bytes: &[u8], limits: HeadLimits) -> Result<(), BadHead> {
        let mut slots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let slots = slots.get_mut(..limits.fields.min(FIELDS_MAX)).unwrap_or_default();
        let mut parsed = httparse::Request::new(&mut []);
        let status = httparse::ParserConfig::default().parse_request_with_uninit_headers(&mut parsed, bytes, slots);
        let length = match status {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return Err(BadHead::bad("the request head is cut off")),
            Err(error) => return Err(not_http(error, bytes)),
        };
        let method = parsed.method.unwrap_or_default();
        let target = parsed.path.unwrap_or_default();
        self.length = length;
        self.method = Span::of(method.as_bytes(), bytes);
        self.target = Span::of(target.as_bytes(), bytes);
        self.version = if parsed.version == Some(0) { Version::Http10 } else { Version::Http11 };
        if limits.target < target.len() {
            return Err(TOO_LONG);
        }
        check_method(method)?;
        self.fields.clear();
        for header in parsed.headers.iter() {
            let known = Known::of(header.name.as_bytes());
            let (name, value) = (Span::of(header.name.as_bytes(), bytes), Span::of(header.value, bytes));
            self.fields.push(Field { name, value, known });
        }
        self.understand(bytes, method)?;
        self.aim(bytes, method, target)
    }

    /// The head with its bytes, which have to be those it was read from.
    pub fn view<'a>(&'a self, bytes: &'a [u8]) -> RequestView<'a> {
        RequestView { head: self, bytes }
    }

    /// Framing and connection, from the fields.
    fn understand(&mut self, bytes: &[u8], method: &str) -> Result<(), BadHead> {
        let (mut length, mut chunked, mut host) = (None, false, None);
        let (mut close, mut keep, mut upgrade, mut websocket) = (false, false, false, false);
        self.expects_continue = false;
        self.nominates = false;
        for field in &self.fields {
            let value = field.value.of_bytes(bytes);
            match field.known {
                Known::ContentLength => {
                    if length.replace(body_length(value)?).is_some() {
                        return Err(BadHead::bad("Content-Length is given twice"));
                    }
                }
                Known::TransferEncoding => {
                    if std::mem::replace(&mut chunked, true) {
                        return Err(BadHead::bad("Transfer-Encoding is given twice"));
                    }
                    if !value.eq_ignore_ascii_case(b"chunked") {
                        let why = "the only transfer coding that is understood is `chunked`";
                        return Err(BadHead::with(StatusCode::NOT_IMPLEMENTED, why));
                    }
                }
                Known::Host => {
                    if host.replace(field.value).is_some() {
                        return Err(BadHead::bad("Host is given twice"));
                    }
                    if !is_host(value) {
                        return Err(BadHead::bad("Host is not a host name"));
                    }
                }
                Known::Connection => {
                    for item in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                        match item {
                            _ if item.eq_ignore_ascii_case(b"close") => close = true,
                            _ if item.eq_ignore_ascii_case(b"keep-alive") => keep = true,
                            _ if item.eq_ignore_ascii_case(b"upgrade") => upgrade = true,
                            b"" => {}
                            _ if Known::of(item).is_vital() => {
                                return Err(BadHead::bad("Connection names a field that must stay"));
                            }
                            _ => self.nominates = true,
                        }
                    }
                }
                Known::Upgrade => websocket |= is_token_in_list(value, "websocket"),
                Known::Expect => self.expects_continue |= value.eq_ignore_ascii_case(b"100-continue"),
                _ => {}
            }
        }
        if chunked && length.is_some() {
            return Err(BadHead::bad("Content-Length and Transfer-Encoding are both given"));
        }
        let is_11 = self.version == Version::Http11;
        if chunked && !is_11 {
            return Err(BadHead::bad("HTTP/1.0 has no Transfer-Encoding"));
        }
        if host.is_none() && is_11 {
            return Err(BadHead::bad("the request names no host"));
        }
        self.authority = host.unwrap_or_default();
        self.framing = match length {
            _ if chunked => Framing::Chunked,
            None | Some(0) => Framing::None,
            Some(length) => Framing::Length(length),
        };
        self.keep_alive = !close && (is_11 || keep);
        self.expects_continue &= is_11 && self.framing != Framing::None;
        self.is_websocket = upgrade && websocket && is_11 && method == "GET" && self.framing == Framing::None;
        Ok(())
    }

    /// Path, query and authority, from the target.
    fn aim(&mut self, bytes: &[u8], method: &str, target: &str) -> Result<(), BadHead> {
        if target.contains('#') {
            return Err(BadHead::bad("the request target has a fragment"));
        }
        self.path_and_query = self.target;
        if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
            return Ok(());
        }
        let Some((scheme, rest)) = target.split_once("://") else {
            return Err(BadHead::bad("the request target is not a path"));
        };
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(BadHead::bad("the request target has a scheme other than http"));
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let host = self.authority.of_bytes(bytes);
        if !is_host(authority.as_bytes()) {
            return Err(BadHead::bad("the request target has no host name"));
        }
        if !host.is_empty() && !host.eq_ignore_ascii_case(authority.as_bytes()) {
            return Err(BadHead::bad("Host and the request target differ"));
        }
        if !path.starts_with('/') {
            return Err(BadHead::bad("the request target has no path"));
        }
        self.authority = Span::of(authority.as_bytes(), bytes);
        self.path_and_query = Span::of(path.as_bytes(), bytes);
        Ok(())
    }
}

impl<'a> RequestView<'a> {
    /// `GET`
    pub fn method(&self) -> &'a str {
        text(self.head.method.of_bytes(self.bytes))
    }

    /// The target as sent.
    pub fn target(&self) -> &'a [u8] {
        self.head.target.of_bytes(self.bytes)
    }

    /// The path of the target as sent, without the query. Only paths that are UTF-8 pass [`RequestHead::read`].
    pub fn path(&self) -> &'a str {
        let (path, _) = self.split();
        text(path)
    }

    /// The query with its `?`, or nothing.
    pub fn query(&self) -> &'a [u8] {
        self.split().1
    }

    fn split(&self) -> (&'a [u8], &'a [u8]) {
        let whole = self.path_and_query();
        whole.split_at(memchr::memchr(b'?', whole).unwrap_or(whole.len()))
    }

    /// Path and query as sent.
    pub fn path_and_query(&self) -> &'a [u8] {
        self.head.path_and_query.of_bytes(self.bytes)
    }

    /// The host asked for, with its port; empty where HTTP/1.0 names none.
    pub fn host(&self) -> &'a str {
        text(self.head.authority.of_bytes(self.bytes))
    }

    /// Everything else that was understood.
    pub fn head(&self) -> &'a RequestHead {
        self.head
    }

    /// The first field that is `known`.
    pub fn get(&self, known: Known) -> Option<&'a [u8]> {
        let field = self.head.fields.iter().find(|field| field.known == known)?;
        Some(field.value.of_bytes(self.bytes))
    }

    /// Every field, in order.
    pub fn fields(&self) -> impl Iterator<Item = (Known, &'a [u8], &'a [u8])> + use<'a> {
        let bytes = self.bytes;
        self.head.fields.iter().map(move |f| (f.known, f.name.of_bytes(bytes), f.value.of_bytes(bytes)))
    }

    /// True where `Connection` names this field, so that it ends here (RFC 9110, section 7.6.1).
    pub fn is_nominated(&self, name: &[u8]) -> bool {
        self.head.nominates
            && self.fields().any(|(known, _, value)| {
                let mut items = value.split(|&byte| byte == b',');
                known == Known::Connection && items.any(|item| item.trim_ascii().eq_ignore_ascii_case(name))
            })
    }
}

impl Fields for RequestView<'_> {
    fn first(&self, name: &HeaderName) -> Option<&[u8]> {
        let wanted = name.as_str().as_bytes();
        self.fields().find(|(_, name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, _, value)| value)
    }

    fn every<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let wanted = name.as_str().as_bytes();
        self.fields().filter(move |(_, name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, _, value)| value)
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn check_method(method: &str) -> Result<(), BadHead> {
    match method {
        "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" => Ok(()),
        "CONNECT" => Err(BadHead::with(StatusCode::METHOD_NOT_ALLOWED, "CONNECT is not allowed")),
        "TRACE" => Err(BadHead::with(StatusCode::METHOD_NOT_ALLOWED, "TRACE is not allowed")),
        _ if METHOD_MAX < method.len() => {
            Err(BadHead::with(StatusCode::NOT_IMPLEMENTED, "the request method is not known"))
        }
        _ if method.bytes().all(is_method_byte) => Ok(()),
        _ => Err(BadHead::bad("the request method is malformed")),
    }
}

fn not_http(error: httparse::Error, bytes: &[u8]) -> BadHead {
    match error {
        httparse::Error::TooManyHeaders => TOO_MANY,
        httparse::Error::HeaderName => BadHead::bad("a header field's name is malformed"),
        httparse::Error::HeaderValue => BadHead::bad("a header field's value is malformed"),
        httparse::Error::NewLine => BARE_LF,
        httparse::Error::Version if has_other_version(bytes) => {
            BadHead::with(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "this version of HTTP is not supported here")
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

/// Digits alone, as many as fit (RFC 9112, section 6.3): no sign, no list, nothing around them.
fn body_length(value: &[u8]) -> Result<u64, BadHead> {
    const BAD: BadHead = BadHead::bad("Content-Length is not a number");
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(BAD);
    }
    text(value).parse().map_err(|_| BAD)
}

/// `name`, `name:port` or `[v6]:port`, of the characters RFC 3986 allows; no user before it.
fn is_host(value: &[u8]) -> bool {
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

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
