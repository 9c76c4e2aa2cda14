//! Where a head ends that arrives in pieces, and why one is refused.

use http::StatusCode;

/// Empty lines before a request that are passed over (RFC 9112, section 2.2).
const EMPTY_LINES: usize = 2;

/// Longest method, bytes; the longest registered one has 16.
pub(super) const METHOD_MAX: usize = 32;

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
    pub(super) const fn bad(why: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, why }
    }

    pub(super) const fn with(status: StatusCode, why: &'static str) -> Self {
        Self { status, why }
    }
}

pub(super) const TOO_MANY: BadHead =
    BadHead::with(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the request has too many headers");
const TOO_LARGE: BadHead = BadHead::with(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the request head is too large");
pub(super) const TOO_LONG: BadHead = BadHead::with(StatusCode::URI_TOO_LONG, "the request target is too long");
pub(super) const BARE_LF: BadHead = BadHead::bad("a line ends without a carriage return");

/// How far a head that arrives in pieces has been looked at, so that no byte is looked at twice.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scan {
    looked_at: usize,
    tried: bool,
    has_line: bool,
}

impl Scan {
    /// The length of the head in `bytes`, once it is complete; `None` while more has to be read.
    ///
    /// # Errors
    /// As soon as what is there cannot become a head any more.
    pub fn end(&mut self, bytes: &[u8], limits: HeadLimits) -> Result<Option<usize>, BadHead> {
        let empty_lines = leading_empty_lines(bytes);
        if EMPTY_LINES < empty_lines {
            return Err(BadHead::bad("the request begins with empty lines"));
        }
        for at in memchr::memchr_iter(b'\n', &bytes[self.looked_at..]).map(|at| at + self.looked_at) {
            if at == 0 || bytes[at - 1] != b'\r' {
                return Err(BARE_LF);
            }
            if !self.has_line && empty_lines * 2 < at {
                self.has_line = true;
                ends_in_version(&bytes[empty_lines * 2..at - 1])?;
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

/// A request line that says no version of HTTP is none: nothing more of it is waited for.
fn ends_in_version(line: &[u8]) -> Result<(), BadHead> {
    match line {
        [.., b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Ok(())
        }
        _ => Err(BadHead::bad("the request line is malformed")),
    }
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
pub(super) fn is_method_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-')
}
