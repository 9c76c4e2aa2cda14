//! The tasks behind an upstream: one that resolves its servers, and one for each backend that probes it.
//!
//! They hold the pool weakly and end with it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::config::model::{CheckSpec, ServerSpec};
use crate::types::{OwnedTask, ServerAddress};

use super::backend::Backend;
use super::pool::Pool;
use super::probe::Probe;

/// Pause between two lookups of the servers' names.
const RESOLVE_EVERY: Duration = Duration::from_secs(1);
/// Shortest pause between two lookups or two probes, however many requests fail meanwhile.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The addresses that each server last stood for.
pub(super) type Known = HashMap<ServerAddress, Vec<SocketAddr>>;

/// Resolves the servers of a pool until it is gone, and lets ejections that have ended take effect.
pub(super) async fn discover(pool: Weak<Pool>, mut known: Known) {
    while let Some(pool) = pool.upgrade() {
        let found = resolve(&pool, &mut known).await;
        pool.set_members(found);
        pool.probe_the_silent();
        let weak = pool.downgrade();
        drop(pool);
        tokio::time::sleep(PAUSE_MIN).await;
        let Some(pool) = weak.upgrade() else { return };
        let rest = RESOLVE_EVERY.saturating_sub(PAUSE_MIN);
        // Either way the names are looked up next.
        let _ = tokio::time::timeout(rest, pool.resolve_now.notified()).await;
    }
}

/// Every server's addresses. A lookup that fails leaves the last good answer in force.
async fn resolve(pool: &Pool, known: &mut Known) -> Vec<(SocketAddr, ServerSpec)> {
    let lookups = pool.spec.servers.iter().map(|server| pool.tools.resolver.resolve(&server.address));
    let answers = join_all(lookups).await;
    for (server, answer) in pool.spec.servers.iter().zip(answers) {
        let address = &server.address;
        match answer {
            Ok(addresses) => drop(known.insert(address.clone(), addresses)),
            Err(error) => {
                pool.metrics.resolve_failed();
                tell_unresolved(pool, address, known, &error);
            }
        }
    }
    members(&pool.spec.servers, known)
}

/// The backends of these servers; an address that two of them stand for belongs to the first.
pub(super) fn members(servers: &[ServerSpec], known: &Known) -> Vec<(SocketAddr, ServerSpec)> {
    let mut found: Vec<(SocketAddr, ServerSpec)> = Vec::new();
    for server in servers {
        for address in known.get(&server.address).into_iter().flatten() {
            if !found.iter().any(|(other, _)| other == address) {
                found.push((*address, server.clone()));
            }
        }
    }
    found
}

fn tell_unresolved(pool: &Pool, server: &ServerAddress, known: &mut Known, error: &std::io::Error) {
    let name = &pool.spec.name;
    match known.get(server) {
        None => {
            log::warn!("upstream {name}: {server} does not resolve yet ({error}); it joins when it does");
            known.insert(server.clone(), Vec::new());
        }
        Some(addresses) if addresses.is_empty() => {}
        Some(_) => log::debug!("upstream {name}: {server} does not resolve ({error}); its last addresses stay"),
    }
}

/// Starts the probes of a backend, where its upstream has a check.
pub(super) fn start_probes(pool: &Arc<Pool>, backend: &Arc<Backend>) -> Option<OwnedTask> {
    let check = pool.spec.check.clone()?;
    match Probe::new(&check, backend.server(), backend.address()) {
        Ok(probe) => Some(OwnedTask::spawn(probe_on(pool.downgrade(), Arc::clone(backend), probe, check))),
        Err(error) => {
            log::error!("upstream {}: {} cannot be probed: {error}", pool.spec.name, backend.address());
            None
        }
    }
}

async fn probe_on(pool: Weak<Pool>, backend: Arc<Backend>, probe: Probe, check: CheckSpec) {
    loop {
        let start = Instant::now();
        let result = probe.ask().await;
        let Some(pool) = pool.upgrade() else { return };
        pool.observe(&backend, result, start.elapsed());
        drop(pool);
        let wavering = backend.vitals().health.lock().is_wavering();
        let pause = pause(&check, wavering);
        tokio::time::sleep(PAUSE_MIN.min(pause)).await;
        // A probe asked for in between comes at once; else it comes in time.
        let _ = tokio::time::timeout(pause.saturating_sub(PAUSE_MIN), backend.vitals().probe_now.notified()).await;
    }
}

/// `every` give or take a tenth, so that edges and backends do not beat in step; a quarter of it while a verdict
/// is in doubt, so that a flip takes no longer than it must (HAProxy's `fastinter`).
fn pause(check: &CheckSpec, wavering: bool) -> Duration {
    let every = if wavering { check.every / 4 } else { check.every };
    every.mul_f64(0.9 + 0.2 * fastrand::f64())
}
