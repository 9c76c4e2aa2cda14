//! Which bytes of a stranger may stand in a log line. Never drops one: what may not stand is written as an escape.

use std::fmt::Write;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends text to a line of the error log: one line stays one line, and no terminal obeys it.
pub(super) fn plain(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push(' '),
            c if c.is_ascii_control() => hex(out, c as u8),
            c if is_unsafe(c) => unicode(out, c),
            c => out.push(c),
        }
    }
}

/// A text as one line that no terminal obeys.
pub fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    plain(&mut out, text);
    out
}

/// Appends bytes as nginx does in its default `escape`: quotes, backslashes, controls and everything above `~` as `\xHH`.
pub(super) fn nginx(out: &mut String, bytes: &[u8]) {
    let mut rest = bytes;
    loop {
        rest = harmless(out, rest);
        let Some((&byte, after)) = rest.split_first() else { return };
        hex(out, byte);
        rest = after;
    }
}

/// Appends the bytes before the first that either escape treats in its own way, in one piece, and returns the others.
fn harmless<'a>(out: &mut String, bytes: &'a [u8]) -> &'a [u8] {
    let length = bytes.iter().position(|byte| !IS_HARMLESS[usize::from(*byte)]).unwrap_or(bytes.len());
    let (first, rest) = bytes.split_at(length);
    // ASCII, so that it is text.
    out.push_str(std::str::from_utf8(first).unwrap_or_default());
    rest
}

/// What prints as one column of ASCII, without `"` and `\`.
const IS_HARMLESS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        table[byte as usize] = byte != b'"' && byte != b'\\';
        byte += 1;
    }
    table
};

/// Appends the inside of a JSON string. Bytes that are not UTF-8 become the text `\xHH`, so that the line stays JSON.
pub(super) fn json(out: &mut String, bytes: &[u8]) {
    let rest = harmless(out, bytes);
    if rest.is_empty() {
        return;
    }
    for chunk in rest.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c.is_ascii_control() || is_unsafe(c) => unicode(out, c),
                c => out.push(c),
            }
        }
        for &byte in chunk.invalid() {
            out.push('\\');
            hex(out, byte);
        }
    }
}

/// Controls above ASCII, line and paragraph separators, and marks that turn the direction of writing.
fn is_unsafe(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn hex(out: &mut String, byte: u8) {
    out.push_str("\\x");
    out.push(char::from(HEX[usize::from(byte >> 4)]));
    out.push(char::from(HEX[usize::from(byte & 15)]));
}

fn unicode(out: &mut String, c: char) {
    let _ = write!(out, "\\u{:04x}", u32::from(c));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(escape: fn(&mut String, &[u8]), bytes: &[u8]) -> String {
        let mut out = String::new();
        escape(&mut out, bytes);
        out
    }

    #[test]
    fn combined_lines_are_escaped_as_nginx_does() {
        #[rustfmt::skip]
        let rows: [(&[u8], &str); 7] = [
            (b"/plain?a=b&c=%20",   "/plain?a=b&c=%20"),
            (b"say \"hi\"",         "say \\x22hi\\x22"),
            (b"back\\slash",        "back\\x5Cslash"),
            (b"two\nlines\r",       "two\\x0Alines\\x0D"),
            (b"\x1b[31mred\x1b[0m", "\\x1B[31mred\\x1B[0m"),
            (b"\x7f\x80\xff\0",     "\\x7F\\x80\\xFF\\x00"),
            ("ä".as_bytes(),        "\\xC3\\xA4"),
        ];
        for (bytes, escaped) in rows {
            assert_eq!(with(nginx, bytes), escaped, "{bytes:?}");
        }
    }

    #[test]
    fn json_strings_read_back_as_they_were_sent() {
        for text in
            ["plain", "say \"hi\"", "back\\slash", "two\nlines\r\t", "\u{1b}[31m\u{7f}\0", "ä \u{2028}\u{202e}\u{9b}"]
        {
            let line = format!("\"{}\"", with(json, text.as_bytes()));
            assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
            assert!(!line.contains(|c: char| c.is_control() || is_unsafe(c)), "{line:?}");
        }
        let line = format!("\"{}\"", with(json, b"a\xff\x1bb"));
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), "a\\xFF\u{1b}b");
    }

    #[test]
    fn a_message_stays_one_harmless_line() {
        #[rustfmt::skip]
        let rows = [
            ("backend 10.0.0.1:80 is down", "backend 10.0.0.1:80 is down"),
            ("one\r\ntwo",                  "one\\r\\ntwo"),
            ("\u{1b}[2Jgone\u{7}",          "\\x1B[2Jgone\\x07"),
            ("c1 \u{9b}31m",                "c1 \\u009b31m"),
            ("turned \u{202e}txt",          "turned \\u202etxt"),
            ("ä stays, \"quotes\" too",     "ä stays, \"quotes\" too"),
        ];
        for (text, escaped) in rows {
            let mut out = String::new();
            plain(&mut out, text);
            assert_eq!(out, escaped);
        }
    }
}
