//! The task that resolves the servers of an upstream. It holds the pool weakly and ends with it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;

use crate::config::model::ServerSpec;
use crate::types::ServerAddress;

use super::backend::BackendState;
use super::family::{self, FamilyInUse};
use super::lookup::{Lookup, LookupError};
use super::pool::{BackendPool, Known};
use super::probing::start_probes;

/// Pause between two lookups of the servers' names.
const RESOLVE_EVERY: Duration = Duration::from_secs(1);
/// Shortest pause between two lookups, however many requests fail meanwhile.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Resolves the servers of a pool until it is gone, and lets ejections that have ended take effect. A name that takes long
/// delays no other.
pub(super) async fn keep(pool: Weak<BackendPool>, known: Known) {
    let Some(servers) = pool.upgrade().map(|pool| pool.spec.servers.clone()) else { return };
    let names = Mutex::new(ResolvedNames { known, unasked: servers.len() });
    join_all(servers.iter().map(|server| follow(&pool, &server.address, &names))).await;
}

/// What the names of a pool stand for, and how many of them were not looked up yet.
struct ResolvedNames {
    known: Known,
    unasked: usize,
}

async fn follow(pool: &Weak<BackendPool>, server: &ServerAddress, names: &Mutex<ResolvedNames>) {
    let (mut is_first, mut has_failed) = (true, false);
    while let Some(pool) = pool.upgrade() {
        let mut look = pool.names.subscribe();
        // Asked for without holding on to the pool, which may end meanwhile.
        let (resolver, weak) = (Arc::clone(&pool.tools.resolver), pool.downgrade());
        let mut in_use = family_in_use(&pool, server);
        // Without a check nobody else says that they no longer serve.
        in_use.is_served &= !has_failed;
        drop(pool);
        let answer = resolver.resolve(server).await;
        let answer = family::served(&*resolver, server, answer, in_use).await;
        let Some(pool) = weak.upgrade() else { return };
        note(&pool, server, answer, names, std::mem::take(&mut is_first));
        drop(pool);
        tokio::time::sleep(PAUSE_MIN).await;
        let rest = RESOLVE_EVERY.saturating_sub(PAUSE_MIN);
        // Either way the name is looked up next.
        has_failed = tokio::time::timeout(rest, look.changed()).await.is_ok();
    }
}

fn family_in_use(pool: &BackendPool, server: &ServerAddress) -> FamilyInUse {
    let mut in_use = FamilyInUse::default();
    for backend in pool.present().iter().filter(|backend| backend.server().address == *server) {
        in_use.is_ipv6 |= backend.address().is_ipv6();
        in_use.is_served |= matches!(backend.state(), BackendState::Up | BackendState::Healing | BackendState::Held);
    }
    in_use
}

/// Makes the members of a pool what this answer and the last ones of its other servers say.
fn note(
    pool: &Arc<BackendPool>,
    server: &ServerAddress,
    answer: Result<Lookup, LookupError>,
    names: &Mutex<ResolvedNames>,
    is_first: bool,
) {
    let mut names = names.lock();
    if !matches!(answer, Ok(Lookup::Found(_) | Lookup::HalfFound(_))) {
        pool.metrics.resolve_failed();
    }
    let before = names.known.get(server);
    tell(pool, server, before, &answer);
    let in_repair = match &answer {
        Ok(answer) => in_repair(pool, server, *answer == Lookup::Gone),
        Err(_) => Vec::new(),
    };
    let now = stands_for(before.map_or(&[], Vec::as_slice), answer, &in_repair);
    names.known.insert(server.clone(), now);
    names.unasked -= usize::from(is_first);
    if names.unasked == 0 {
        pool.set_resolved();
    }
    pool.set_members(members(&pool.spec.servers, &names.known), start_probes);
}

/// The backends of a server that are repaired now, which gives them no requests. Those of one that is gone get none after it
/// either, until its name is back.
fn in_repair(pool: &BackendPool, server: &ServerAddress, is_gone: bool) -> Vec<SocketAddr> {
    let present = pool.present();
    let of_server = present.iter().filter(|backend| backend.server().address == *server);
    let in_repair = of_server.filter(|backend| {
        backend.set_unnamed(is_gone);
        backend.state() == BackendState::Healing
    });
    in_repair.map(|backend| backend.address()).collect()
}

/// What a name stands for after an answer. One that is gone stands for nothing in the same breath, since its addresses are
/// soon another's; a backend that is repaired, perhaps by a restart, gets no requests anyhow and is waited for. Where nobody
/// could say, the last answer stays.
fn stands_for(before: &[SocketAddr], answer: Result<Lookup, LookupError>, in_repair: &[SocketAddr]) -> Vec<SocketAddr> {
    match answer {
        Ok(Lookup::Found(addresses)) => addresses,
        // There may be IPv4 addresses as well, and the last of them are the better guess.
        Ok(Lookup::HalfFound(addresses)) if before.iter().all(SocketAddr::is_ipv6) => addresses,
        Ok(Lookup::Gone) => before.iter().copied().filter(|address| in_repair.contains(address)).collect(),
        Ok(Lookup::HalfFound(_)) | Err(_) => before.to_vec(),
    }
}

/// The backends of these servers; an address that two of them stand for belongs to the first.
pub(super) fn members(servers: &[ServerSpec], known: &Known) -> Vec<(SocketAddr, ServerSpec)> {
    let mut taken = HashSet::new();
    let of_server = |server: &ServerSpec| known.get(&server.address).into_iter().flatten().copied();
    let all = servers.iter().flat_map(|server| of_server(server).map(move |address| (address, server)));
    all.filter(|(address, _)| taken.insert(*address)).map(|(address, server)| (address, server.clone())).collect()
}

fn tell(
    pool: &BackendPool,
    server: &ServerAddress,
    before: Option<&Vec<SocketAddr>>,
    answer: &Result<Lookup, LookupError>,
) {
    let name = &pool.spec.name;
    match (answer, before) {
        (Ok(Lookup::Found(_) | Lookup::HalfFound(_)), _) => {}
        (Ok(Lookup::Gone), None) => {
            log::warn!("upstream {name}: cannot resolve {server} (no such name); will retry");
        }
        (Err(error), None) => {
            log::warn!("upstream {name}: cannot resolve {server} ({error}); will retry");
        }
        (Ok(Lookup::Gone), Some(addresses)) if !addresses.is_empty() => {
            log::warn!(
                "upstream {name}: {server} no longer resolves (no such name); removing its backends until it does"
            );
        }
        (Err(error), Some(addresses)) if !addresses.is_empty() => {
            log::debug!("upstream {name}: cannot resolve {server} ({error}); keeping its last addresses");
        }
        (Ok(Lookup::Gone) | Err(_), Some(_)) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_gone_stands_for_nothing_and_one_in_doubt_for_what_it_did() {
        let list = |text: &str| text.split_whitespace().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let late = || Err(LookupError::TimedOut);
        let (found, half) = (|text| Ok(Lookup::Found(list(text))), |text| Ok(Lookup::HalfFound(list(text))));
        #[rustfmt::skip]
        let rows = [
            // before                   answer                  now
            ("",                        found("10.0.0.1:80"),   "10.0.0.1:80"),
            ("10.0.0.1:80",             found("10.0.0.2:80"),   "10.0.0.2:80"),
            ("10.0.0.1:80",             Ok(Lookup::Gone),       ""),
            ("10.0.0.1:80 10.0.0.9:80", Ok(Lookup::Gone),       "10.0.0.9:80"), // which is repaired
            ("",                        Ok(Lookup::Gone),       ""),
            ("10.0.0.1:80",             late(),                 "10.0.0.1:80"),
            ("",                        late(),                 ""),
            ("",                        half("[fd00::1]:80"),   "[fd00::1]:80"),
            ("[fd00::1]:80",            half("[fd00::2]:80"),   "[fd00::2]:80"),
            ("10.0.0.1:80",             half("[fd00::1]:80"),   "10.0.0.1:80"),
        ];
        for (before, answer, now) in rows {
            let case = format!("{before} then {answer:?}");
            assert_eq!(stands_for(&list(before), answer, &list("10.0.0.9:80")), list(now), "{case}");
        }
    }
}
