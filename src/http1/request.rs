//! Request heads: complete or not, and if so in one reading alone.

use std::mem::MaybeUninit;

use http::header::HeaderName;
use httparse::Status;

use super::check::{body_length, check_coding, check_method, is_host, not_http, text};
use super::fields::{Field, Fields, Known, Span, is_token_in_list};
use super::scan::{BadHead, HeadLimits, TOO_LONG};

/// Fields that can be counted at all; `HeadLimits::fields` is at most this.
const FIELDS_MAX: usize = 256;

/// The client's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
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

/// A head that was understood. Its memory is used again for the next one.
#[derive(Debug)]
pub struct RequestHead {
    /// Bytes it takes, with the empty line at its end.
    pub length: usize,
    pub(super) method: Span,
    pub(super) target: Span,
    /// Path and query of the target.
    pub(super) path_and_query: Span,
    pub(super) authority: Span,
    pub(super) fields: Vec<Field>,
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
    pub(super) nominates: bool,
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
    /// Reads the head that `bytes` are, as [`Scan::end`](super::Scan::end) measured it.
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
            Ok(Status::Partial) => return Err(BadHead::bad("the request head is incomplete")),
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
        let mut length = None;
        let (mut chunked, mut upgrade, mut websocket, mut expects) = (0, false, false, false);
        let (mut close, mut keep) = (false, false);
        self.authority = Span::default();
        self.nominates = false;
        for field in &self.fields {
            let value = field.value.of_bytes(bytes);
            match field.known {
                Known::ContentLength if length.is_some() => {
                    return Err(BadHead::bad("Content-Length is given twice"));
                }
                Known::ContentLength => length = Some(body_length(value)?),
                Known::TransferEncoding => {
                    check_coding(value)?;
                    chunked += 1;
                }
                Known::Host if !self.authority.is_empty() => return Err(BadHead::bad("Host is given twice")),
                Known::Host if !is_host(value) => return Err(BadHead::bad("Host is not a valid host name")),
                Known::Host => self.authority = field.value,
                Known::Connection => {
                    for item in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                        match item {
                            _ if item.eq_ignore_ascii_case(b"close") => close = true,
                            _ if item.eq_ignore_ascii_case(b"keep-alive") => keep = true,
                            _ if item.eq_ignore_ascii_case(b"upgrade") => upgrade = true,
                            b"" => {}
                            _ if Known::of(item).is_vital() => {
                                return Err(BadHead::bad("Connection lists a header that must not be removed"));
                            }
                            _ => self.nominates = true,
                        }
                    }
                }
                Known::Upgrade => websocket |= is_token_in_list(value, "websocket"),
                Known::Expect => expects |= value.eq_ignore_ascii_case(b"100-continue"),
                _ => {}
            }
        }
        let is_11 = self.version == Version::Http11;
        self.framing = match (chunked, length) {
            (0, None | Some(0)) => Framing::None,
            (0, Some(length)) => Framing::Length(length),
            (1, None) if is_11 => Framing::Chunked,
            (1, None) => return Err(BadHead::bad("Transfer-Encoding is not allowed in HTTP/1.0")),
            (1, Some(_)) => return Err(BadHead::bad("Content-Length and Transfer-Encoding are both given")),
            _ => return Err(BadHead::bad("Transfer-Encoding is given twice")),
        };
        if self.authority.is_empty() && is_11 {
            return Err(BadHead::bad("the request has no host"));
        }
        self.keep_alive = !close && (is_11 || keep);
        self.expects_continue = expects && is_11 && self.framing != Framing::None;
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

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
