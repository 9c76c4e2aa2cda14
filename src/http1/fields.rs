//! Header fields as ranges of the bytes they came in, with those the edge knows by a number.

use http::header::{HeaderMap, HeaderName};

use super::of_proxy::is_of_proxy;

/// A range of a head's bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Where `part` lies in `whole`; empty when it does not lie there.
    pub(super) fn of(part: &[u8], whole: &[u8]) -> Self {
        let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        let end = start.wrapping_add(part.len());
        if whole.len() < start || whole.len() < end {
            return Self::default();
        }
        Self::new(start, end)
    }

    pub(super) fn new(start: usize, end: usize) -> Self {
        Self { start: u32::try_from(start).unwrap_or(u32::MAX), end: u32::try_from(end).unwrap_or(u32::MAX) }
    }

    /// The bytes it stands for.
    pub fn of_bytes(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// True where it stands for nothing.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// One field of a head.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name as written.
    pub name: Span,
    /// Its value without the spaces around it.
    pub value: Span,
    /// Which one it is, where the edge has to know.
    pub known: Known,
}

/// Fields the edge reads, sets or removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Known {
    /// Any other.
    Other,
    /// A name with `_`, which WSGI and CGI read as `-`; nginx drops those too.
    Ambiguous,
    /// `Accept`
    Accept,
    /// `Access-Control-*` of an answer, which the edge sets itself where CORS is on.
    AccessControl,
    /// `Access-Control-Request-Headers`
    AskedHeaders,
    /// `Access-Control-Request-Method`
    AskedMethod,
    /// `Connection`
    Connection,
    /// `Content-Length`
    ContentLength,
    /// `Date`
    Date,
    /// `Expect`
    Expect,
    /// A field by which a proxy tells of the client: `Forwarded`, `X-Forwarded-Port`, `X-Client-IP`, ...; see [`super::is_of_proxy`].
    Forwarded,
    /// `Host`
    Host,
    /// `Keep-Alive`
    KeepAlive,
    /// `Origin`
    Origin,
    /// `Proxy-Connection`
    ProxyConnection,
    /// `Referer`
    Referer,
    /// `TE`
    Te,
    /// `Trailer`
    Trailer,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// `Upgrade`
    Upgrade,
    /// `User-Agent`
    UserAgent,
    /// `Vary`
    Vary,
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `X-Forwarded-Host`
    XForwardedHost,
    /// `X-Forwarded-Proto`
    XForwardedProto,
    /// `X-Real-IP`
    XRealIp,
    /// `X-Request-Id`
    XRequestId,
}

impl Known {
    /// Which field `name` is.
    pub fn of(name: &[u8]) -> Self {
        let Some(first) = name.first().map(u8::to_ascii_lowercase) else { return Self::Other };
        // By length and first letter at most one is left to compare.
        let (lower, known) = match (name.len(), first) {
            (2, b't') => ("te", Self::Te),
            (4, b'h') => ("host", Self::Host),
            (4, b'd') => ("date", Self::Date),
            (4, b'v') => ("vary", Self::Vary),
            (6, b'a') => ("accept", Self::Accept),
            (6, b'e') => ("expect", Self::Expect),
            (6, b'o') => ("origin", Self::Origin),
            (7, b'u') => ("upgrade", Self::Upgrade),
            (7, b'r') => ("referer", Self::Referer),
            (7, b't') => ("trailer", Self::Trailer),
            (9, b'x') => ("x-real-ip", Self::XRealIp),
            (10, b'c') => ("connection", Self::Connection),
            (10, b'u') => ("user-agent", Self::UserAgent),
            (10, b'k') => ("keep-alive", Self::KeepAlive),
            (12, b'x') => ("x-request-id", Self::XRequestId),
            (14, b'c') => ("content-length", Self::ContentLength),
            (15, b'x') => ("x-forwarded-for", Self::XForwardedFor),
            (16, b'p') => ("proxy-connection", Self::ProxyConnection),
            (16, b'x') => ("x-forwarded-host", Self::XForwardedHost),
            (17, b't') => ("transfer-encoding", Self::TransferEncoding),
            (17, b'x') => ("x-forwarded-proto", Self::XForwardedProto),
            (29, b'a') => ("access-control-request-method", Self::AskedMethod),
            (30, b'a') => ("access-control-request-headers", Self::AskedHeaders),
            _ => ("", Self::Other),
        };
        if name.eq_ignore_ascii_case(lower.as_bytes()) {
            known
        } else if memchr::memchr(b'_', name).is_some() {
            Self::Ambiguous
        } else if is_of_proxy(name) {
            Self::Forwarded
        } else if first == b'a' && is_access_control(name) {
            Self::AccessControl
        } else {
            Self::Other
        }
    }

    /// Fields of one connection alone (RFC 9110, section 7.6.1); they are never passed on.
    pub fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::Te
                | Self::TransferEncoding
                | Self::Upgrade
        )
    }

    /// Fields that a client must not have removed by naming them in `Connection`.
    pub fn is_vital(self) -> bool {
        matches!(
            self,
            Self::ContentLength
                | Self::Host
                | Self::Forwarded
                | Self::XForwardedFor
                | Self::XForwardedHost
                | Self::XForwardedProto
                | Self::XRealIp
                | Self::XRequestId
        )
    }
}

fn is_access_control(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"access-control-";
    name.len() > PREFIX.len() && name[..PREFIX.len()].eq_ignore_ascii_case(PREFIX)
}

/// A request's fields, wherever they are kept: the filters read both lanes through this.
pub trait Fields {
    /// The first field of that name.
    fn first(&self, name: &HeaderName) -> Option<&[u8]>;
    /// Every field of that name, in order.
    fn every<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]>;
}

impl Fields for HeaderMap {
    fn first(&self, name: &HeaderName) -> Option<&[u8]> {
        self.get(name).map(http::HeaderValue::as_bytes)
    }

    fn every<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(name).iter().map(http::HeaderValue::as_bytes)
    }
}

/// True when the comma-separated list `value` has `token`, whatever its case.
pub fn is_token_in_list(value: &[u8], token: &str) -> bool {
    value.split(|&byte| byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}
