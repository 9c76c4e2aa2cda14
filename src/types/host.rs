//! The host a route is for.

use std::fmt;

/// A host name to match: exact, or `*.` and a suffix. Lower case, no port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// `app.example.com`, or an IP address.
    Exact(Box<str>),
    /// `*.example.com`, kept as `.example.com`: one or more labels in front, never the bare domain.
    Suffix(Box<str>),
}

/// Why a text is not a [`HostPattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a host; write `app.example.com` or `*.example.com`, without a scheme or port")]
pub struct InvalidHost(String);

impl HostPattern {
    /// Parses a host or a wildcard.
    ///
    /// # Errors
    /// When it is not a host name, an IP address, or `*.` and a host name.
    pub fn parse(text: &str) -> Result<Self, InvalidHost> {
        let lower = text.to_ascii_lowercase();
        if lower.starts_with('[') {
            let inner = lower.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let valid = inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
            return if valid { Ok(Self::Exact(lower.into())) } else { Err(InvalidHost(text.into())) };
        }
        // The name of the root may be written or not (RFC 3986, section 3.2.2); a request's is not looked at either.
        let lower = lower.strip_suffix('.').unwrap_or(&lower).to_owned();
        match lower.strip_prefix("*.") {
            Some(rest) if is_host_name(rest) => Ok(Self::Suffix(format!(".{rest}").into())),
            None if is_host_name(&lower) => Ok(Self::Exact(lower.into())),
            _ => Err(InvalidHost(text.into())),
        }
    }
}

impl HostPattern {
    /// The wildcards that cover it and are wider, the longest first: `*.b.c` and `*.c` for `a.b.c`.
    pub fn wider(&self) -> Vec<Self> {
        let (Self::Exact(name) | Self::Suffix(name)) = self;
        let dots = name.match_indices('.').map(|(start, _)| start).filter(|&start| start != 0);
        dots.map(|start| Self::Suffix(name[start..].into())).collect()
    }
}

/// Labels of letters, digits, `-` and `_` (compose service names have them), 253 characters at most.
pub(super) fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    text.len() <= 253 && text.split('.').all(label)
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wider_wildcards_are_those_of_fewer_labels() {
        let wider = |text: &str| -> Vec<_> {
            HostPattern::parse(text).unwrap().wider().iter().map(ToString::to_string).collect()
        };
        assert_eq!(wider("a.b.c"), ["*.b.c", "*.c"]);
        assert_eq!(wider("*.b.c"), ["*.c"]);
        assert_eq!(wider("localhost"), [] as [String; 0]);
    }

    #[test]
    fn hosts_are_names_addresses_or_a_leading_wildcard() {
        for (text, shown) in [
            ("App.Example.com", "app.example.com"),
            ("*.example.com", "*.example.com"),
            ("[::1]", "[::1]"),
            ("127.0.0.1", "127.0.0.1"),
            ("app.example.com.", "app.example.com"),
            ("*.example.com.", "*.example.com"),
        ] {
            assert_eq!(HostPattern::parse(text).unwrap().to_string(), shown);
        }
        for text in ["", ".", "*", "*.", "a..", "a:80", "https://a", "a..b", "*.*.com", "a b", "[x]"] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }
}
