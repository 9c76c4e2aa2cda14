//! Answer heads of backends: strict where a client could be deceived, lenient where backends are old.

use std::mem::MaybeUninit;
use std::time::Duration;

use httparse::Status;

use super::fields::{Field, Known, Span, is_token_in_list};
use super::request::Version;

/// Fields an answer may have.
const FIELDS_MAX: usize = 256;

/// How long an answer's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFraming {
    /// There is none: HEAD, 1xx, 204, 304.
    None,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// To the end of the connection.
    UntilClose,
}

/// An answer that is not HTTP, or could be read in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadAnswer(pub &'static str);

/// An answer's head that was understood. Its memory is used again for the next one.
#[derive(Debug)]
pub struct ResponseHead {
    /// Bytes it takes.
    pub length: usize,
    /// 100 to 999.
    pub status: u16,
    reason: Span,
    /// Its body.
    pub framing: ResponseFraming,
    /// The backend keeps the connection.
    pub keep_alive: bool,
    fields: Vec<Field>,
    nominates: bool,
}

impl Default for ResponseHead {
    fn default() -> Self {
        Self {
            length: 0,
            status: 0,
            reason: Span::default(),
            framing: ResponseFraming::None,
            keep_alive: false,
            fields: Vec::with_capacity(16),
            nominates: false,
        }
    }
}

/// A head together with its bytes.
#[derive(Debug, Clone, Copy)]
pub struct ResponseView<'a> {
    head: &'a ResponseHead,
    bytes: &'a [u8],
}

impl ResponseHead {
    /// Reads a head from the start of `bytes`; false while more has to come.
    ///
    /// # Errors
    /// When it is not HTTP/1, or its length could be read in two ways.
    pub fn read(&mut self, bytes: &[u8], to_head: bool) -> Result<bool, BadAnswer> {
        let mut slots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut parsed = httparse::Response::new(&mut []);
        let status =
            httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, bytes, &mut slots);
        self.length = match status {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return Ok(false),
            Err(_) => return Err(BadAnswer("the response is not HTTP")),
        };
        self.status = parsed.code.unwrap_or_default();
        if self.status < 100 {
            return Err(BadAnswer("the response has no status"));
        }
        self.reason = Span::of(parsed.reason.unwrap_or_default().as_bytes(), bytes);
        self.fields.clear();
        for header in parsed.headers.iter() {
            let known = Known::of(header.name.as_bytes());
            let (name, value) = (Span::of(header.name.as_bytes(), bytes), Span::of(header.value, bytes));
            self.fields.push(Field { name, value, known });
        }
        let version = if parsed.version == Some(0) { Version::Http10 } else { Version::Http11 };
        self.understand(bytes, version, to_head)?;
        Ok(true)
    }

    fn understand(&mut self, bytes: &[u8], version: Version, to_head: bool) -> Result<(), BadAnswer> {
        let (mut length, mut chunked, mut close, mut keep) = (None, false, false, false);
        self.nominates = false;
        for field in &self.fields {
            let value = field.value.of_bytes(bytes);
            match field.known {
                Known::ContentLength => {
                    let number = body_length(value)?;
                    if length.replace(number).is_some_and(|other| other != number) {
                        return Err(BadAnswer("the response has two lengths"));
                    }
                }
                Known::TransferEncoding => {
                    if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                        return Err(BadAnswer("the response has a transfer coding other than chunked"));
                    }
                    chunked = true;
                }
                Known::Connection => {
                    for item in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                        match item {
                            _ if item.eq_ignore_ascii_case(b"close") => close = true,
                            _ if item.eq_ignore_ascii_case(b"keep-alive") => keep = true,
                            _ => self.nominates |= !item.is_empty(),
                        }
                    }
                }
                _ => {}
            }
        }
        if chunked && length.is_some() {
            return Err(BadAnswer("the response has both Content-Length and Transfer-Encoding"));
        }
        let bodyless = to_head || matches!(self.status, 100..=199 | 204 | 304);
        self.framing = match length {
            _ if bodyless => ResponseFraming::None,
            _ if chunked => ResponseFraming::Chunked,
            Some(length) => ResponseFraming::Length(length),
            None => ResponseFraming::UntilClose,
        };
        // Who announces a body where there is none may send it all the same: it would be taken for the next response.
        let announces = self.status == 204 && (chunked || length.is_some_and(|length| length != 0));
        let kept = !close && !announces && (version == Version::Http11 || keep);
        self.keep_alive = kept && self.framing != ResponseFraming::UntilClose;
        Ok(())
    }

    /// 1xx other than 101: another head follows.
    pub fn is_interim(&self) -> bool {
        matches!(self.status, 100..=199) && self.status != 101
    }

    /// The head with its bytes, which have to be those it was read from.
    pub fn view<'a>(&'a self, bytes: &'a [u8]) -> ResponseView<'a> {
        ResponseView { head: self, bytes }
    }
}

impl<'a> ResponseView<'a> {
    /// The words after the status.
    pub fn reason(&self) -> &'a [u8] {
        self.head.reason.of_bytes(self.bytes)
    }

    /// Everything else that was understood.
    pub fn head(&self) -> &'a ResponseHead {
        self.head
    }

    /// Every field, in order.
    pub fn fields(&self) -> impl Iterator<Item = (Known, &'a [u8], &'a [u8])> + use<'a> {
        let bytes = self.bytes;
        self.head.fields.iter().map(move |f| (f.known, f.name.of_bytes(bytes), f.value.of_bytes(bytes)))
    }

    /// How long the backend says that it keeps the connection: `timeout` of `Keep-Alive`, which servers of old and Node send.
    pub fn announced_keepalive(&self) -> Option<Duration> {
        let (_, _, value) = self.fields().find(|(known, _, _)| *known == Known::KeepAlive)?;
        let items = std::str::from_utf8(value).ok()?.split(',');
        let seconds = items.filter_map(|item| item.trim().split_once('=')).find(|(name, _)| *name == "timeout")?.1;
        seconds.trim().parse().ok().map(Duration::from_secs)
    }

    /// True where `Connection` names this field.
    pub fn is_nominated(&self, name: &[u8]) -> bool {
        self.head.nominates
            && self.fields().any(|(known, _, value)| {
                let name = std::str::from_utf8(name).unwrap_or_default();
                known == Known::Connection && is_token_in_list(value, name)
            })
    }
}

fn body_length(value: &[u8]) -> Result<u64, BadAnswer> {
    const BAD: BadAnswer = BadAnswer("the response's Content-Length is not a number");
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(BAD);
    }
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or(BAD)
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
