//! Which addresses a server name stands for now. The last good answer counts until there is a better one.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;

use crate::types::ServerAddress;

/// Longest wait for one lookup.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Turns a server into addresses.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// Every address of a server, in no order.
    ///
    /// # Errors
    /// When the name does not exist or nobody answers in time.
    async fn resolve(&self, server: &ServerAddress) -> io::Result<Vec<SocketAddr>>;
}

/// The system's resolver: `/etc/hosts`, then DNS (in Compose: Docker's own, which answers with every replica).
#[derive(Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, server: &ServerAddress) -> io::Result<Vec<SocketAddr>> {
        if let Some(ip) = server.ip() {
            return Ok(vec![SocketAddr::new(ip, server.port())]);
        }
        let lookup = tokio::net::lookup_host((server.host(), server.port()));
        let found = tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await.map_err(|_| io::ErrorKind::TimedOut)??;
        Ok(one_family(found.collect()))
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
    async fn addresses_need_no_lookup() {
        let server = ServerAddress::parse("10.1.2.3:80").unwrap();
        assert_eq!(SystemResolver.resolve(&server).await.unwrap(), ["10.1.2.3:80".parse().unwrap()]);
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_is_an_error() {
        let server = ServerAddress::parse("no-such-name.invalid:80").unwrap();
        assert!(SystemResolver.resolve(&server).await.is_err());
    }
}
