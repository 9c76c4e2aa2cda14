//! Which addresses a server name stands for now.
//!
//! That a name is gone is an answer as good as any; that nobody could say is none, and leaves the last one in force.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::types::ServerAddress;

use super::dns::Dns;
use super::hosts::Hosts;
use super::kept::Kept;
use super::lookup::{Found, Lookup, LookupError};

/// Longest wait for one lookup; twice what `resolv.conf` usually gives one attempt.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Turns a server into addresses.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// Every address of a server.
    ///
    /// # Errors
    /// When nobody could say.
    async fn resolve(&self, server: &ServerAddress) -> Result<Lookup, LookupError>;

    /// The IPv6 addresses of a server that has others too.
    ///
    /// # Errors
    /// When nobody could say.
    async fn resolve_ipv6(&self, _server: &ServerAddress) -> Result<Lookup, LookupError> {
        Ok(Lookup::Gone)
    }
}

/// `/etc/hosts`, then the name servers of `/etc/resolv.conf` (in Compose: Docker's own, which answers with every replica).
/// Both files are read again when they change.
pub struct SystemResolver {
    hosts: Kept<Hosts>,
    dns: Kept<Dns>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self { hosts: Kept::new("/etc/hosts"), dns: Kept::new("/etc/resolv.conf") }
    }
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, server: &ServerAddress) -> Result<Lookup, LookupError> {
        if let Some(ip) = server.ip() {
            return Ok(Lookup::Found(vec![SocketAddr::new(ip, server.port())]));
        }
        let found = match self.hosts().find(server.full_host()) {
            Some(addresses) => Found::All(addresses),
            None => within(self.dns()?.find(server.full_host())).await?,
        };
        let with_port = |found: Vec<IpAddr>| found.into_iter().map(|ip| SocketAddr::new(ip, server.port())).collect();
        Ok(match found {
            Found::All(addresses) => Lookup::Found(one_family(with_port(addresses))),
            Found::HalfOf(addresses) => Lookup::HalfFound(one_family(with_port(addresses))),
            Found::Nothing => Lookup::Gone,
        })
    }

    async fn resolve_ipv6(&self, server: &ServerAddress) -> Result<Lookup, LookupError> {
        let mut found = match self.hosts().find(server.full_host()) {
            Some(addresses) => addresses,
            None => within(self.dns()?.find_ipv6(server.full_host())).await?,
        };
        found.retain(IpAddr::is_ipv6);
        let found: Vec<_> = found.into_iter().map(|ip| SocketAddr::new(ip, server.port())).collect();
        Ok(if found.is_empty() { Lookup::Gone } else { Lookup::Found(one_family(found)) })
    }
}

impl SystemResolver {
    /// A system without the file has no names in it.
    fn hosts(&self) -> Arc<Hosts> {
        self.hosts.get(|text| Ok(Hosts::read(text))).unwrap_or_default()
    }

    fn dns(&self) -> Result<Arc<Dns>, LookupError> {
        self.dns.get(Dns::read).map_err(LookupError::Unconfigured)
    }
}

async fn within<T>(lookup: impl Future<Output = Result<T, LookupError>>) -> Result<T, LookupError> {
    tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await.unwrap_or(Err(LookupError::TimedOut))
}

/// Sorted, without duplicates, and of one family: a replica with an IPv4 and an IPv6 address is one backend, not two.
/// IPv4 is taken where there is any, since many servers listen on it alone (`localhost` is both).
fn one_family(mut found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if found.iter().any(SocketAddr::is_ipv4) {
        found.retain(SocketAddr::is_ipv4);
    }
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_counts_once() {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let found = one_family(parse(&["[::1]:80", "127.0.0.2:80", "127.0.0.1:80", "127.0.0.1:80"]));
        assert_eq!(found, parse(&["127.0.0.1:80", "127.0.0.2:80"]));
        assert_eq!(one_family(parse(&["[::1]:80"])), parse(&["[::1]:80"]));
    }

    #[tokio::test]
    async fn both_families_of_a_line_are_known_and_ipv6_only_when_asked_for() {
        let hosts = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(hosts.path(), "127.0.0.1 api.test\n::1 api.test\n127.0.0.2 old.test\n").unwrap();
        let known = SystemResolver { hosts: Kept::new(hosts.path()), dns: Kept::new("/no/such/file") };
        let found = |address: &str| Lookup::Found(vec![address.parse().unwrap()]);
        for name in ["api.test:80", "API.test.:80"] {
            let server = ServerAddress::parse(name).unwrap();
            assert_eq!(known.resolve(&server).await.unwrap(), found("127.0.0.1:80"), "{name}");
            assert_eq!(known.resolve_ipv6(&server).await.unwrap(), found("[::1]:80"), "{name}");
        }
        let old = ServerAddress::parse("old.test:80").unwrap();
        assert_eq!(known.resolve_ipv6(&old).await.unwrap(), Lookup::Gone);
    }

    #[tokio::test]
    async fn addresses_and_this_host_need_no_name_server() {
        let nobody = SystemResolver { hosts: Kept::new("/no/such/file"), dns: Kept::new("/no/such/file") };
        for (server, address) in [("10.1.2.3:80", "10.1.2.3:80"), ("localhost:80", "127.0.0.1:80")] {
            let server = ServerAddress::parse(server).unwrap();
            assert_eq!(nobody.resolve(&server).await.unwrap(), Lookup::Found(vec![address.parse().unwrap()]));
        }
        let server = ServerAddress::parse("name.test:80").unwrap();
        let error = nobody.resolve(&server).await.unwrap_err();
        assert!(error.to_string().starts_with("/etc/resolv.conf: "), "{error}");
    }
}
