//! How many clients may be connected, in all and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::model::LimitsSpec;
use crate::telemetry::metrics::Turned;

/// Open files kept for everything but clients and the backends they talk to.
const RESERVED: u64 = 256;
/// Connections that are always allowed, however few files may be open.
const LEAST: u64 = 16;

/// Counts connections.
#[derive(Debug)]
pub struct Guard {
    open: AtomicUsize,
    most: usize,
    most_of_client: usize,
    by_client: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection in the count; leaves it when dropped.
#[derive(Debug)]
pub struct Admitted {
    guard: Arc<Guard>,
    client: Option<IpAddr>,
}

impl Guard {
    /// A guard with these limits. Raises the limit of open files as far as the system allows without privileges.
    pub fn new(limits: &LimitsSpec) -> Arc<Self> {
        let most = limits.connections.unwrap_or_else(|| room_for(raise_open_files()));
        let most_of_client = limits.connections_per_client.unwrap_or(most.div_ceil(2));
        Arc::new(Self { open: AtomicUsize::new(0), most, most_of_client, by_client: Mutex::default() })
    }

    /// Lets a connection in; one of a trusted proxy counts for nobody in particular.
    ///
    /// # Errors
    /// When there are as many as may be.
    pub fn admit(self: &Arc<Self>, client: IpAddr, is_trusted: bool) -> Result<Admitted, Turned> {
        if self.most <= self.open.fetch_add(1, Ordering::Relaxed) {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Turned::Full);
        }
        let mut admitted = Admitted { guard: Arc::clone(self), client: None };
        if !is_trusted {
            let client = network(client);
            let mut by_client = self.by_client.lock();
            let open = by_client.entry(client).or_default();
            if self.most_of_client <= *open {
                return Err(Turned::ClientFull);
            }
            *open += 1;
            admitted.client = Some(client);
        }
        Ok(admitted)
    }

    /// Connections now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.guard.open.fetch_sub(1, Ordering::Relaxed);
        let Some(client) = self.client else { return };
        let mut by_client = self.guard.by_client.lock();
        if let Some(open) = by_client.get_mut(&client) {
            *open -= 1;
            if *open == 0 {
                by_client.remove(&client);
            }
        }
    }
}

/// One subscriber has at least 2^64 addresses of IPv6 (RFC 6177), so those count as one.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

/// Raises the soft limit to the hard one; what may be open then.
fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let raised = setrlimit(Resource::Nofile, wanted).is_ok();
    let open = if raised { limit.maximum } else { limit.current };
    open.unwrap_or(u64::from(u32::MAX))
}

/// Each client may need a backend.
fn room_for(open_files: u64) -> usize {
    let reserved = RESERVED.min(open_files / 4);
    usize::try_from(((open_files - reserved) / 2).max(LEAST)).unwrap_or(usize::MAX).min(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(connections: usize, per_client: Option<usize>) -> Arc<Guard> {
        Guard::new(&LimitsSpec {
            connections: Some(connections),
            connections_per_client: per_client,
            ..LimitsSpec::default()
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn there_is_room_again_when_one_leaves() {
        let guard = guard(2, Some(2));
        let first = guard.admit(ip("10.0.0.1"), false).unwrap();
        let _second = guard.admit(ip("10.0.0.2"), false).unwrap();
        assert_eq!(guard.admit(ip("10.0.0.3"), false).unwrap_err(), Turned::Full);
        drop(first);
        assert!(guard.admit(ip("10.0.0.3"), false).is_ok());
        assert_eq!(guard.open(), 1);
    }

    #[test]
    fn one_client_takes_half_at_most() {
        let guard = guard(4, None);
        let held: Vec<_> = (0..2).map(|_| guard.admit(ip("10.0.0.1"), false).unwrap()).collect();
        assert_eq!(guard.admit(ip("::ffff:10.0.0.1"), false).unwrap_err(), Turned::ClientFull);
        assert!(guard.admit(ip("10.0.0.1"), true).is_ok(), "a trusted proxy is no client");
        assert!(guard.admit(ip("10.0.0.2"), false).is_ok());
        drop(held);
        assert!(guard.by_client.lock().is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        assert_eq!(network(ip("2001:db8::1")), network(ip("2001:db8::2:0:0:1")));
        assert_ne!(network(ip("2001:db8::1")), network(ip("2001:db8:0:1::1")));
    }

    #[test]
    fn room_is_kept_for_everything_else() {
        assert_eq!((room_for(64), room_for(1024), room_for(20_256)), (24, 384, 10_000));
    }
}
