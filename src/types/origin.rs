//! The origin of a web page, for CORS.

use std::fmt;

use super::HostPattern;

/// `scheme://host` or `scheme://host:port`, as a browser sends it in `Origin` (RFC 6454, section 6.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(Box<str>);

/// Why a text is not an [`Origin`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an origin; write `https://app.example.com`, without a path or a trailing slash")]
pub struct InvalidOrigin(String);

impl Origin {
    /// Parses an origin; letters are folded to lower case and a default port is dropped, as browsers do.
    ///
    /// # Errors
    /// When it lacks the scheme, has a path, or is `null`.
    pub fn parse(text: &str) -> Result<Self, InvalidOrigin> {
        let invalid = || InvalidOrigin(text.into());
        let lower = text.to_ascii_lowercase();
        let uri: http::Uri = lower.parse().map_err(|_| invalid())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(invalid());
        };
        let plain = matches!(HostPattern::parse(authority.host()), Ok(HostPattern::Exact(_)))
            && !authority.as_str().contains('@')
            && !lower.ends_with('/')
            && uri.path() == "/"
            && uri.query().is_none();
        if !plain {
            return Err(invalid());
        }
        let default = matches!((scheme, authority.port_u16()), ("http", Some(80)) | ("https", Some(443)));
        let shown = if default { authority.host() } else { authority.as_str() };
        Ok(Self(format!("{scheme}://{shown}").into()))
    }

    /// The origin as a browser sends it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_scheme_host_and_port() {
        let rows = [
            ("https://App.example.com", "https://app.example.com"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("https://a:443", "https://a"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ];
        for (text, kept) in rows {
            assert_eq!(Origin::parse(text).unwrap().as_str(), kept);
        }
        for text in [
            "null",
            "app.example.com",
            "https://a/",
            "https://a/b",
            "https://u@a",
            "https://*.a",
            "*",
            "",
            "https://a'b",
        ] {
            assert!(Origin::parse(text).is_err(), "{text}");
        }
    }
}
