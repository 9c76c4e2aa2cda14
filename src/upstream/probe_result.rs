//! What came of one probe, and what the server itself says of it.

use std::fmt;
use std::sync::Arc;

use crate::config::model::Protocol;
use crate::telemetry::one_line;

use super::failure::Failure;

/// Longest text of a server that is kept, in characters.
const WORDS_MAX: usize = 200;

/// How a probe ended. One that passes may come with words all the same: of a server that lives and does not let the edge in.
pub type ProbeResult = Result<Option<ServerWords>, ProbeFailure>;

/// What a server says of itself: one line of at most 200 characters that no terminal obeys. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerWords(Arc<str>);

impl ServerWords {
    /// The first line of what it sent; what is not text in it is replaced.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let line = text.trim().lines().next().unwrap_or_default();
        let kept: String = line.chars().take(WORDS_MAX).collect();
        let more = if kept.len() < line.len() { "…" } else { "" };
        let kept = if kept.is_empty() { "an error without words" } else { kept.trim_end() };
        Self(format!("{}{more}", one_line(kept)).into())
    }
}

impl fmt::Display for ServerWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a probe failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeFailure {
    /// There was no answer, or not the one that is expected.
    Failed(Failure),
    /// What came is nothing that such a server begins with.
    Foreign(Protocol),
    /// The server says that something is wrong with it.
    Sick(ServerWords),
    /// The server lives, and says that it takes nobody in now: it starts or stops, or has as many connections as it may.
    Unready(ServerWords),
}

impl ProbeFailure {
    /// The same as it is known of requests.
    pub fn kind(&self) -> Failure {
        match self {
            Self::Failed(failure) => *failure,
            Self::Foreign(_) | Self::Sick(_) | Self::Unready(_) => Failure::BadAnswer,
        }
    }

    /// What a server says that lives and takes nobody in now.
    pub fn unready(&self) -> Option<&ServerWords> {
        match self {
            Self::Unready(words) => Some(words),
            Self::Failed(_) | Self::Foreign(_) | Self::Sick(_) => None,
        }
    }
}

impl From<Failure> for ProbeFailure {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl fmt::Display for ProbeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => failure.fmt(f),
            Self::Foreign(protocol) => write!(f, "no response of {}", protocol.title()),
            Self::Sick(words) | Self::Unready(words) => words.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_one_short_line() {
        let long = "x".repeat(300);
        let cut = format!("{}…", "x".repeat(200));
        #[rustfmt::skip]
        let rows: [(&[u8], &str); 6] = [
            (b"Too many connections",     "Too many connections"),
            (b" one\r\nanother",          "one"),
            (b"\x1b[31mred",              "\\x1B[31mred"),
            (b"caf\xc3\xa9 \xff",         "café \u{fffd}"),
            (b"  ",                       "an error without words"),
            (long.as_bytes(),             &cut),
        ];
        for (bytes, words) in rows {
            assert_eq!(ServerWords::of(bytes).to_string(), words);
        }
    }
}
