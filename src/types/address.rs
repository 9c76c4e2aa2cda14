//! The address of a server as the file writes it.

use std::fmt;
use std::net::IpAddr;

use super::host::is_host_name;

/// `host:port`, where the host is a name to resolve or an IP address. A name may end in a dot: then it is whole, and is
/// looked for under no domain of `/etc/resolv.conf` (RFC 1034, section 3.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerAddress {
    host: Box<str>,
    port: u16,
}

/// Why a text is not a [`ServerAddress`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// It has no port.
    #[error("`{0}` has no port; write `{0}:8000`")]
    NoPort(String),
    /// The port is not 1 to 65535.
    #[error("the port of `{0}` is not 1 to 65535")]
    BadPort(String),
    /// It has a scheme or a path.
    #[error("`{0}` is not `host:port`; omit the scheme and the path")]
    NotHostPort(String),
}

impl ServerAddress {
    /// Parses `host:port` or `[v6]:port`.
    ///
    /// # Errors
    /// When the port is missing or out of range, or the host is neither a name nor an address.
    pub fn parse(text: &str) -> Result<Self, InvalidAddress> {
        if text.contains('/') {
            return Err(InvalidAddress::NotHostPort(text.into()));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(InvalidAddress::NoPort(text.into()));
        };
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let valid = match bracketed {
            Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
            None => is_host_name(host.strip_suffix('.').unwrap_or(host)),
        };
        if !valid {
            return Err(InvalidAddress::NotHostPort(text.into()));
        }
        match port.parse::<u16>() {
            Ok(port) if port != 0 => Ok(Self { host: bracketed.unwrap_or(host).to_ascii_lowercase().into(), port }),
            _ => Err(InvalidAddress::BadPort(text.into())),
        }
    }

    /// The name or address without brackets, and without a final dot: what a container is called.
    pub fn host(&self) -> &str {
        self.host.strip_suffix('.').unwrap_or(&self.host)
    }

    /// The same with the final dot, if it was written: what is looked up.
    pub fn full_host(&self) -> &str {
        &self.host
    }

    /// The port, 1 to 65535.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address itself where nothing needs resolving.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host().parse().ok()
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_host_and_port() {
        for text in ["backend:8000", "10.0.0.1:80", "[::1]:8080", "my_app:3000", "api.internal.:80"] {
            assert_eq!(ServerAddress::parse(text).unwrap().to_string(), text);
        }
        let whole = ServerAddress::parse("API.internal.:80").unwrap();
        assert_eq!((whole.host(), whole.full_host(), whole.ip()), ("api.internal", "api.internal.", None));
        assert_ne!(whole, ServerAddress::parse("api.internal:80").unwrap(), "which may be another under a domain");
        for text in [
            "backend",
            "backend:",
            ".:80",
            "a..:80",
            "a.b..:80",
            "backend:0",
            "backend:70000",
            "http://backend:80",
            "::1:80",
            "a b:1",
            ":80",
        ] {
            assert!(ServerAddress::parse(text).is_err(), "{text}");
        }
    }
}
