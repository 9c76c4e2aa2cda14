//! What the edge itself says in a request: its id, and the path that a backend is asked for.

use std::borrow::Cow;

use crate::config::model::UriRule;
use crate::routing::normal_path;

/// A new request id: 32 random hex digits, as nginx's `$request_id`.
pub fn request_id() -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let random = fastrand::u128(..);
    let mut id = [0; 32];
    for (pair, byte) in id.chunks_exact_mut(2).zip(random.to_be_bytes()) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    id
}

/// The path that a backend is asked for; `None` where it is the path as sent. It starts with `/`.
pub fn rewritten<'p>(rule: &UriRule, sent: &'p str) -> Option<Cow<'p, str>> {
    let prefix = match rule {
        UriRule::AsSent => return None,
        UriRule::Strip(prefix) => prefix,
    };
    // As sent, where nothing in it is escaped or doubled in a way that hides the prefix.
    if let Some(rest) = prefix.rest(sent) {
        return Some(if rest.starts_with('/') { rest.into() } else { format!("/{rest}").into() });
    }
    let normal = normal_path(sent).ok()?;
    let rest = escaped(prefix.rest(&normal).unwrap_or("/"));
    Some(if rest.starts_with('/') { rest.into() } else { format!("/{rest}").into() })
}

/// A decoded path, safe to send: everything but unreserved characters and `/` escaped.
fn escaped(path: &str) -> String {
    const KEPT: percent_encoding::AsciiSet =
        percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    percent_encoding::utf8_percent_encode(path, &KEPT).to_string()
}
