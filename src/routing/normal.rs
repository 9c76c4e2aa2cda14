//! The path as routes see it: decoded, without empty and dot segments, as nginx matches its locations.
//!
//! Only for matching (and for `strip`): the backend gets the path as the client sent it.

use std::borrow::Cow;

/// A path that two servers could read in two ways; answered 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotNormal {
    /// `%` without two hex digits.
    #[error("the path has a `%` that is not followed by two hex digits")]
    BadEscape,
    /// A NUL, a backslash or another control character, raw or escaped.
    #[error("the path contains a NUL, a backslash or a control character")]
    Forbidden,
    /// `..` above the root.
    #[error("the path leads above the root")]
    AboveRoot,
    /// Not UTF-8 once decoded, or not starting with `/`.
    #[error("the path is not valid UTF-8")]
    NotText,
}

/// Brings a path into normal form (RFC 3986, section 6.2.2, and merged slashes as nginx does by default).
///
/// # Errors
/// When the path cannot be read in one way alone.
pub fn normal_path(raw: &str) -> Result<Cow<'_, str>, NotNormal> {
    let bytes = raw.as_bytes();
    if bytes.iter().any(|&byte| byte == b'\\' || byte.is_ascii_control()) {
        return Err(NotNormal::Forbidden);
    }
    if is_normal(bytes) {
        return Ok(Cow::Borrowed(raw));
    }
    let decoded = decode(bytes)?;
    let mut segments: Vec<&str> = Vec::new();
    let rest = decoded.strip_prefix('/').ok_or(NotNormal::NotText)?;
    let ends_open = rest.is_empty() || ["/", "/.", "/.."].iter().any(|end| decoded.ends_with(end));
    for segment in rest.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop().ok_or(NotNormal::AboveRoot)?),
            other => segments.push(other),
        }
    }
    let mut normal = String::with_capacity(decoded.len());
    for segment in &segments {
        normal.push('/');
        normal.push_str(segment);
    }
    if ends_open || segments.is_empty() {
        normal.push('/');
    }
    Ok(Cow::Owned(normal))
}

/// No escapes, no empty segments, no segment that starts with a dot and could be `.` or `..`.
fn is_normal(bytes: &[u8]) -> bool {
    bytes.first() == Some(&b'/')
        && !bytes.contains(&b'%')
        && !bytes.windows(2).any(|pair| pair == b"//" || pair == b"/.")
}

fn decode(bytes: &[u8]) -> Result<String, NotNormal> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|&digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(NotNormal::BadEscape) };
        let value = u8::try_from(high * 16 + low).map_err(|_| NotNormal::BadEscape)?;
        if value == b'\\' || value.is_ascii_control() {
            return Err(NotNormal::Forbidden);
        }
        decoded.push(value);
    }
    String::from_utf8(decoded).map_err(|_| NotNormal::NotText)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_in_normal_form() {
        #[rustfmt::skip]
        let rows = [
            ("/",                   Ok("/")),
            ("/api/v1",             Ok("/api/v1")),
            ("/api/",               Ok("/api/")),
            ("/.well-known/x",      Ok("/.well-known/x")),
            ("//api",               Ok("/api")),
            ("/a//b",               Ok("/a/b")),
            ("/a/./b",              Ok("/a/b")),
            ("/a/../b",             Ok("/b")),
            ("/a/b/..",             Ok("/a/")),
            ("/%61pi",              Ok("/api")),
            ("/api/..%2fadmin",     Ok("/admin")),
            ("/api/%2e%2e/admin",   Ok("/admin")),
            ("/caf%C3%A9",          Ok("/café")),
            ("/%2e%2e/",            Err(NotNormal::AboveRoot)),
            ("/..",                 Err(NotNormal::AboveRoot)),
            ("/a\\b",               Err(NotNormal::Forbidden)),
            ("/a%5cb",              Err(NotNormal::Forbidden)),
            ("/a%00",               Err(NotNormal::Forbidden)),
            ("/a%0d%0a",            Err(NotNormal::Forbidden)),
            ("/a%2",                Err(NotNormal::BadEscape)),
            ("/a%zz",               Err(NotNormal::BadEscape)),
            ("/a%+1",               Err(NotNormal::BadEscape)),
            ("/%ff",                Err(NotNormal::NotText)),
            ("*",                   Err(NotNormal::NotText)),
        ];
        for (raw, expected) in rows {
            let found = normal_path(raw);
            assert_eq!(found.as_deref().map_err(|error| *error), expected, "{raw}");
        }
    }
}
