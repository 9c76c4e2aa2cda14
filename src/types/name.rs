//! The name of an upstream.

use std::fmt;
use std::sync::Arc;

/// A name as users write it in `upstreams:`: 1 to 63 letters, digits, `_`, `-` or `.`, starting with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamName(Arc<str>);

/// Why a text is not an [`UpstreamName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a name; use 1 to 63 letters, digits, `_`, `-` or `.`, starting with a letter or digit")]
pub struct InvalidName(String);

impl UpstreamName {
    /// Parses a name.
    ///
    /// # Errors
    /// When the text is empty, too long, or has another character.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !starts_well || 63 < text.len() || !text.chars().all(allowed) {
            return Err(InvalidName(text.into()));
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UpstreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        #[rustfmt::skip]
        let rows = [
            ("backend", true), ("a", true), ("api-v2.1_x", true), ("9lives", true),
            ("", false), ("-a", false), ("a b", false), ("a/b", false), ("ä", false),
        ];
        for (text, valid) in rows {
            assert_eq!(UpstreamName::parse(text).is_ok(), valid, "{text}");
        }
        assert!(UpstreamName::parse(&"x".repeat(64)).is_err());
    }
}
