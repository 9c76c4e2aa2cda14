//! The path a route covers.

use std::fmt;

/// A path prefix: absolute, no query, no trailing slash except for the root.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPrefix(Box<str>);

/// Why a text is not a [`PathPrefix`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// It does not start with `/`.
    #[error("`{0}` does not start with `/`")]
    NotAbsolute(String),
    /// It has a query or fragment.
    #[error("`{0}` has a query or fragment; a route matches only the path")]
    HasQuery(String),
    /// It has a `*` elsewhere than as the last segment.
    #[error("`{0}` has a `*` inside; only `/*` at the end is supported, and it means the same as without")]
    InnerWildcard(String),
    /// It has an empty, `.` or `..` segment, white space, `%`, or a control character.
    #[error("`{0}` is not in normal form: no empty, `.` or `..` segments, no white space, no `%`, no `\\`")]
    NotNormal(String),
}

impl PathPrefix {
    /// Parses a prefix; `/api`, `/api/` and `/api/*` mean the same.
    ///
    /// # Errors
    /// When the text is not an absolute path in normal form.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        if !text.starts_with('/') {
            return Err(InvalidPath::NotAbsolute(text.into()));
        }
        if text.contains(['?', '#']) {
            return Err(InvalidPath::HasQuery(text.into()));
        }
        let trimmed = text.strip_suffix("/*").unwrap_or(text);
        let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
        if trimmed.contains('*') {
            return Err(InvalidPath::InnerWildcard(text.into()));
        }
        if !trimmed.is_empty() && !is_normal(trimmed) {
            return Err(InvalidPath::NotNormal(text.into()));
        }
        let kept = if trimmed.is_empty() { "/" } else { trimmed };
        Ok(Self(kept.into()))
    }

    /// Whole segments only: `/api` covers `/api/v1` but not `/apiary`.
    pub fn covers(&self, path: &str) -> bool {
        self.rest(path).is_some()
    }

    /// What follows the prefix in a path it covers: empty, or starting with `/`.
    pub fn rest<'p>(&self, path: &'p str) -> Option<&'p str> {
        if self.is_root() {
            return Some(path);
        }
        let rest = path.strip_prefix(&*self.0)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }

    /// `/`, which covers every path.
    pub fn root() -> Self {
        Self("/".into())
    }

    /// True for `/`.
    pub fn is_root(&self) -> bool {
        &*self.0 == "/"
    }

    /// The prefix as text, `/` for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_normal(path: &str) -> bool {
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '%' | '\\');
    !path.contains(bad) && path.split('/').skip(1).all(|segment| !matches!(segment, "" | "." | ".."))
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_cover_whole_segments() {
        #[rustfmt::skip]
        let rows = [
            // prefix    path        covered
            ("/",       "/any",      true),
            ("/*",      "/any",      true),
            ("/api",    "/api",      true),
            ("/api/",   "/api/v1",   true),
            ("/api/*",  "/api",      true),
            ("/api/*",  "/api/v1",   true),
            ("/api",    "/apiary",   false),
            ("/api",    "/",         false),
            ("/api",    "/API",      false),
        ];
        for (text, path, covered) in rows {
            let prefix = PathPrefix::parse(text).unwrap();
            assert_eq!(prefix.covers(path), covered, "prefix {text}, path {path}");
        }
    }

    #[test]
    fn only_absolute_normal_paths_are_prefixes() {
        for text in ["api", "", "/a?b", "/a#b", "/a*", "/*/a", "/a//b", "/../a", "/a/.", "/a b", "/a%2f", "/a\\b", "//"]
        {
            assert!(PathPrefix::parse(text).is_err(), "{text}");
        }
    }
}
