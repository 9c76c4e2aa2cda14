//! Names by DNS, as `/etc/resolv.conf` says: whether one has addresses, is not there, or nobody could say.
//!
//! The system's own resolver does not tell the last two apart, and gives no IPv4 address before somebody has answered for
//! IPv6 too.

use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;

use super::lookup::{Found, LookupError};

/// How long a name server is waited for before the next is asked too.
const HEAD_START: Duration = Duration::from_millis(500);

/// The name servers, and what is tried for a name that does not end in a dot.
pub(super) struct Dns {
    /// In the file's order.
    servers: Vec<TokioResolver>,
    search: Vec<Name>,
    ndots: usize,
}

/// What a name server says of a name and a kind of address.
#[derive(Debug)]
enum Answer {
    Addresses(Vec<IpAddr>),
    /// The name is there, without one of that kind.
    NoneOfThatKind,
    /// There is no such name.
    NoName,
}

impl Dns {
    /// From the text of `/etc/resolv.conf`.
    ///
    /// # Errors
    /// When it names no server.
    pub fn read(text: &[u8]) -> io::Result<Self> {
        let (config, options) = parse_resolv_conf(text).map_err(io::Error::other)?;
        let (domain, mut search, servers) = config.into_parts();
        if search.is_empty() {
            search.extend(domain);
        }
        Self::new(search, &servers, options).map_err(io::Error::other)
    }

    fn new(search: Vec<Name>, servers: &[NameServerConfig], mut options: ResolverOpts) -> Result<Self, NetError> {
        let ndots = options.ndots;
        // Docker's answers change from one second to the next.
        options.cache_size = 0;
        (options.positive_max_ttl, options.negative_max_ttl) = (Some(Duration::ZERO), Some(Duration::ZERO));
        options.use_hosts_file = ResolveHosts::Never;
        // In `resolv.conf` the first attempt counts too.
        options.attempts = options.attempts.saturating_sub(1);
        let alone = |server: &NameServerConfig| {
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![server.clone()]);
            let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
            builder.with_options(options.clone()).build()
        };
        Ok(Self { servers: servers.iter().map(alone).collect::<Result<_, _>>()?, search, ndots })
    }

    /// The addresses of a name, or that it has none.
    ///
    /// # Errors
    /// When a name server that has to be asked does not say.
    pub async fn find(&self, host: &str) -> Result<Found, LookupError> {
        let name = Name::from_ascii(host).map_err(|_| LookupError::BadName)?;
        let mut failed = None;
        for name in self.candidates(&name) {
            match self.find_exactly(&name).await {
                Ok(Found::Nothing) => {}
                Ok(found) => return Ok(found),
                // It may be there, but one under another domain is better than none, as for the system's resolver.
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(Found::Nothing), Err)
    }

    /// The IPv6 addresses of a name that has others.
    ///
    /// # Errors
    /// When a name server that has to be asked does not say.
    pub async fn find_ipv6(&self, host: &str) -> Result<Vec<IpAddr>, LookupError> {
        let name = Name::from_ascii(host).map_err(|_| LookupError::BadName)?;
        for name in self.candidates(&name) {
            match self.ask(&name, RecordType::AAAA).await? {
                Answer::Addresses(addresses) => return Ok(addresses),
                // What IPv4 was found of is this name, and no later one.
                Answer::NoneOfThatKind => return Ok(Vec::new()),
                Answer::NoName => {}
            }
        }
        Ok(Vec::new())
    }

    /// The full names that a name may mean, in order (resolv.conf(5), `search` and `ndots`).
    fn candidates(&self, name: &Name) -> Vec<Name> {
        let mut itself = name.clone();
        itself.set_fqdn(true);
        if name.is_fqdn() {
            return vec![itself];
        }
        let mut under: Vec<Name> =
            self.search.iter().filter_map(|domain| name.clone().append_domain(domain).ok()).collect();
        let dots = usize::from(name.num_labels()).saturating_sub(1);
        let place = if self.ndots <= dots { 0 } else { under.len() };
        under.insert(place, itself);
        under
    }

    /// IPv4 and IPv6 are asked for side by side, and where there is IPv4 nobody waits for IPv6.
    async fn find_exactly(&self, name: &Name) -> Result<Found, LookupError> {
        let mut v4 = pin!(self.ask(name, RecordType::A));
        let mut v6 = pin!(self.ask(name, RecordType::AAAA));
        let mut six = None;
        let four = loop {
            tokio::select! {
                biased;
                four = &mut v4 => break four,
                answer = &mut v6, if six.is_none() => six = Some(answer),
            }
        };
        match (&four, &six) {
            (Ok(Answer::Addresses(_)), _) => return four.map(Answer::found),
            // The name is not there whatever the kind, unless it was just said to be.
            (Ok(Answer::NoName), None | Some(Err(_))) => return Ok(Found::Nothing),
            _ => {}
        }
        let six = match six {
            Some(six) => six,
            None => v6.await,
        };
        match (four, six?) {
            (Ok(_), six) => Ok(six.found()),
            (Err(_), Answer::Addresses(addresses)) => Ok(Found::HalfOf(addresses)),
            (Err(error), Answer::NoneOfThatKind | Answer::NoName) => Err(error),
        }
    }

    /// Asks one name server after the other, the next one beside the first where that takes long. Addresses count whoever
    /// has them; that there are none counts of the first that says anything.
    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Answer, LookupError> {
        let asking = self.servers.iter().zip(0..).map(|(server, place)| async move {
            tokio::time::sleep(HEAD_START * place).await;
            (place, answer(server, name, kind).await)
        });
        let mut asking: FuturesUnordered<_> = asking.collect();
        let mut said = Vec::new();
        while let Some((place, answer)) = asking.next().await {
            if matches!(answer, Ok(Answer::Addresses(_))) {
                return answer;
            }
            said.push((place, answer));
            said.sort_by_key(|(place, _)| *place);
            let complete = said.iter().zip(0..).take_while(|((place, _), expected)| place == expected).count();
            if let Some(first) = said.iter().take(complete).position(|(_, answer)| answer.is_ok()) {
                return said.swap_remove(first).1;
            }
        }
        said.pop().map_or(Err(LookupError::NoServer), |(_, answer)| answer)
    }
}

impl Answer {
    fn found(self) -> Found {
        match self {
            Self::Addresses(addresses) => Found::All(addresses),
            Self::NoneOfThatKind | Self::NoName => Found::Nothing,
        }
    }
}

async fn answer(server: &TokioResolver, name: &Name, kind: RecordType) -> Result<Answer, LookupError> {
    match server.lookup(name.clone(), kind).await {
        Ok(lookup) => {
            let addresses: Vec<_> = lookup.answers().iter().filter_map(|record| address(&record.data, kind)).collect();
            Ok(if addresses.is_empty() { Answer::NoneOfThatKind } else { Answer::Addresses(addresses) })
        }
        Err(error) if error.is_nx_domain() => Ok(Answer::NoName),
        // One that only points to others does not know.
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) if none.soa.is_some() || none.ns.is_none() => {
            Ok(Answer::NoneOfThatKind)
        }
        Err(error) => Err(LookupError::Dns(error)),
    }
}

fn address(data: &RData, kind: RecordType) -> Option<IpAddr> {
    (data.record_type() == kind).then(|| data.ip_addr()).flatten()
}

#[cfg(test)]
#[path = "dns_tests.rs"]
mod tests;
