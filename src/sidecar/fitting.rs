//! How much of a text goes into a reply.

/// What a program's words may take of a reply once they are JSON.
pub(super) const WORDS_MAX: usize = 12 * 1024;

/// The end of a text, as long as its JSON is at most `most` bytes.
pub(super) fn fitting(text: &str, most: usize) -> String {
    let mut left = most;
    let mut start = text.len();
    for (at, c) in text.char_indices().rev() {
        let bytes = match c {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            c if c < ' ' => 6,
            c => c.len_utf8(),
        };
        let Some(rest) = left.checked_sub(bytes) else { break };
        (left, start) = (rest, at);
    }
    text.get(start..).unwrap_or_default().to_owned()
}
