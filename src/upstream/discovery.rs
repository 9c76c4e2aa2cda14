//! Which addresses a server name stands for now.
//!
//! That a name is gone is an answer as good as any; that nobody could say is none, and leaves the last one in force.

use std::net::{IpAddr, SocketAddr};
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
        // A system without the file has no names in it.
        let hosts = self.hosts.get(|text| Ok(Hosts::read(text))).unwrap_or_default();
        let found = match hosts.find(server.host()) {
            Some(addresses) => Found::All(addresses),
            None => {
                let dns = self.dns.get(Dns::read).map_err(LookupError::Unconfigured)?;
                let found = tokio::time::timeout(LOOKUP_TIMEOUT, dns.find(server.host())).await;
                found.map_err(|_| LookupError::TimedOut)??
            }
        };
        let with_port = |found: Vec<IpAddr>| found.into_iter().map(|ip| SocketAddr::new(ip, server.port())).collect();
        Ok(match found {
            Found::All(addresses) => Lookup::Found(one_family(with_port(addresses))),
            Found::HalfOf(addresses) => Lookup::HalfFound(one_family(with_port(addresses))),
            Found::Nothing => Lookup::Gone,
        })
    }
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
