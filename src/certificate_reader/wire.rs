//! What edge and reader say to each other: one JSON object a line, of a closed vocabulary, and after a reply the bytes that
//! it announces. Reads and writes texts, nothing else.

use serde::{Deserialize, Serialize};

use super::changeable::EdgeUser;
use super::contents::NoContents;

/// The version of all of this; another one is refused.
const VERSION: u8 = 1;
/// Longest request, its line feed included: a path of 4096 bytes (limits.h, `PATH_MAX`), each escaped.
pub(super) const REQUEST_MAX: usize = 32 * 1024;
/// Longest line of a reply, its line feed included.
pub(super) const REPLY_MAX: usize = 32 * 1024;

/// Everything the edge may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReaderRequest {
    /// The contents of a file, by its absolute path.
    Read(String),
    /// For which user it reads.
    Whom,
}

/// Everything the reader may answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReaderReply {
    /// So many bytes follow.
    Contents(u64),
    Serves(EdgeUser),
    Failed(NoContents),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Versioned<T> {
    v: u8,
    say: T,
}

/// Reads a line; `None` when it is none of ours.
pub(super) fn parse<T: for<'t> Deserialize<'t>>(line: &[u8]) -> Option<T> {
    let line: Versioned<T> = serde_json::from_slice(line).ok()?;
    (line.v == VERSION).then_some(line.say)
}

/// The line, with its line feed.
pub(super) fn line<T: Serialize>(say: T) -> Vec<u8> {
    // Our own types have neither maps with odd keys nor anything else that JSON lacks.
    let mut line = serde_json::to_vec(&Versioned { v: VERSION, say }).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let read = ReaderRequest::Read("/etc/remora/tls/key.pem".into());
        assert_eq!(line(&read), b"{\"v\":1,\"say\":{\"read\":\"/etc/remora/tls/key.pem\"}}\n");
        assert_eq!(parse(&line(&read)), Some(read));
        assert_eq!(parse(&line(ReaderRequest::Whom)), Some(ReaderRequest::Whom));
        let failed = ReaderReply::Failed(NoContents::Changeable("/tmp".into()));
        assert_eq!(parse(&line(&failed)), Some(failed));
        let longest = line(ReaderRequest::Read("\u{1}".repeat(4096)));
        assert!(longest.len() <= REQUEST_MAX, "{}", longest.len());
        #[rustfmt::skip]
        let rows: [&[u8]; 7] = [
            b"",
            b"read /etc/shadow",
            b"{\"v\":2,\"say\":\"whom\"}",
            b"{\"v\":1,\"say\":{\"write\":\"/etc/shadow\"}}",
            b"{\"v\":1,\"say\":{\"read\":[\"/etc/shadow\"]}}",
            b"{\"v\":1,\"say\":\"whom\",\"as\":0}",
            b"\xff\xfe",
        ];
        for bytes in rows {
            assert_eq!(parse::<ReaderRequest>(bytes), None, "{bytes:?}");
        }
    }
}
