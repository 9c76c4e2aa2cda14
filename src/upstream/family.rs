//! Which of a name's two families of addresses is taken: IPv4, unless nobody listens on it and somebody does on IPv6.
//!
//! A replica with an address of each is one backend, and many services listen on one family alone: on `localhost`, for
//! example. IPv6 is asked for only where IPv4 takes no connections, so that it delays nobody else.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};

use crate::types::ServerAddress;

use super::connect::takes_connections;
use super::discovery::Resolve;
use super::lookup::{Lookup, LookupError};

/// Longest wait for IPv6 addresses. Nothing is lost by it: nobody listens on those of IPv4.
const SECOND_FAMILY_WITHIN: Duration = Duration::from_millis(500);
/// Most addresses of a family that are tried.
const TRIED_MOST: usize = 8;

/// What is known of a server's backends before a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct FamilyInUse {
    /// They are of IPv6.
    pub is_ipv6: bool,
    /// One of them takes requests, or will after its repair.
    pub is_served: bool,
}

/// The addresses of a server of which nothing is known, of the family that is served.
///
/// # Errors
/// When nobody could say.
pub async fn resolve_served(resolver: &dyn Resolve, server: &ServerAddress) -> Result<Lookup, LookupError> {
    served(resolver, server, resolver.resolve(server).await, FamilyInUse::default()).await
}

/// The answer for a name, of the family that is served.
pub(super) async fn served(
    resolver: &dyn Resolve,
    server: &ServerAddress,
    answer: Result<Lookup, LookupError>,
    in_use: FamilyInUse,
) -> Result<Lookup, LookupError> {
    let Ok(Lookup::Found(ipv4)) = &answer else { return answer };
    if server.ip().is_some() || ipv4.iter().any(SocketAddr::is_ipv6) {
        return answer;
    }
    match in_use {
        FamilyInUse { is_ipv6: false, is_served: true } => answer,
        FamilyInUse { is_ipv6: true, is_served: true } => match ask_ipv6(resolver, server).await {
            Ok(Lookup::Gone) => answer,
            // Where nobody could say, the last addresses stay.
            ipv6 => ipv6,
        },
        FamilyInUse { is_ipv6, is_served: false } => {
            if one_takes_connections(ipv4).await {
                return answer;
            }
            match ask_ipv6(resolver, server).await {
                Ok(Lookup::Found(ipv6)) if is_ipv6 || one_takes_connections(&ipv6).await => Ok(Lookup::Found(ipv6)),
                _ => answer,
            }
        }
    }
}

async fn ask_ipv6(resolver: &dyn Resolve, server: &ServerAddress) -> Result<Lookup, LookupError> {
    let asked = tokio::time::timeout(SECOND_FAMILY_WITHIN, resolver.resolve_ipv6(server)).await;
    asked.unwrap_or(Err(LookupError::TimedOut))
}

async fn one_takes_connections(addresses: &[SocketAddr]) -> bool {
    let mut tried: FuturesUnordered<_> = addresses.iter().take(TRIED_MOST).copied().map(takes_connections).collect();
    while let Some(takes) = tried.next().await {
        if takes {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use async_trait::async_trait;

    use super::*;

    /// What is said when asked for IPv6: an address, that there is none, or nothing.
    struct Says(Option<Lookup>);

    #[async_trait]
    impl Resolve for Says {
        async fn resolve(&self, _: &ServerAddress) -> Result<Lookup, LookupError> {
            Err(LookupError::NoServer)
        }

        async fn resolve_ipv6(&self, _: &ServerAddress) -> Result<Lookup, LookupError> {
            match self.0.clone() {
                Some(said) => Ok(said),
                None => std::future::pending().await,
            }
        }
    }

    #[tokio::test]
    async fn the_family_is_taken_that_somebody_listens_on() {
        let listeners = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("[::1]:0").unwrap()];
        let [here4, here6] = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
        let closed = |address: &str| {
            let listener = TcpListener::bind(address).unwrap();
            listener.local_addr().unwrap()
        };
        let (gone4, gone6) = (closed("127.0.0.1:0"), closed("[::1]:0"));
        let (new, four, six) = (
            FamilyInUse::default(),
            FamilyInUse { is_ipv6: false, is_served: true },
            FamilyInUse { is_ipv6: true, is_served: true },
        );
        let six_down = FamilyInUse { is_served: false, ..six };
        let found = |address| Some(Lookup::Found(vec![address]));
        #[rustfmt::skip]
        let rows = [
            // IPv4   IPv6               before    taken
            (here4,  None,              new,      Ok(here4)), // and IPv6 delays nothing
            (here4,  found(here6),      new,      Ok(here4)),
            (gone4,  found(here6),      new,      Ok(here6)),
            (gone4,  found(gone6),      new,      Ok(gone4)),
            (gone4,  Some(Lookup::Gone), new,     Ok(gone4)),
            (gone4,  None,              new,      Ok(gone4)),
            (gone4,  found(here6),      four,     Ok(gone4)), // it serves: nobody looks
            (here4,  found(here6),      six,      Ok(here6)),
            (here4,  Some(Lookup::Gone), six,     Ok(here4)),
            (here4,  None,              six,      Err(())),   // the last addresses stay
            (here4,  found(gone6),      six_down, Ok(here4)),
            (gone4,  found(gone6),      six_down, Ok(gone6)),
        ];
        let server = ServerAddress::parse("api.test:80").unwrap();
        for (ipv4, ipv6, before, expected) in rows {
            let case = format!("{ipv4} {ipv6:?} {before:?}");
            let answer = served(&Says(ipv6), &server, Ok(Lookup::Found(vec![ipv4])), before).await;
            assert_eq!(answer.map_err(drop), expected.map(|address| Lookup::Found(vec![address])), "{case}");
        }
    }
}
