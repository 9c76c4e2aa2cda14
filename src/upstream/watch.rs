//! The tasks behind an upstream: one that resolves its servers, and one for each backend that probes it.
//!
//! They hold the pool weakly and end with it.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parking_lot::Mutex;

use crate::config::model::{CheckSpec, ServerSpec};
use crate::types::{OwnedTask, ServerAddress};

use super::backend::{Backend, BackendState};
use super::health::{CheckState, Failure};
use super::lookup::{Lookup, LookupError};
use super::pool::BackendPool;
use super::probe::Probe;

/// Pause between two lookups of the servers' names.
const RESOLVE_EVERY: Duration = Duration::from_secs(1);
/// Shortest pause between two lookups or two probes, however many requests fail meanwhile.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// How long a backend that went down is probed as often as one whose state is in doubt.
const JUST_DOWN: Duration = Duration::from_secs(30);

/// Probes begin together at multiples of this.
const BEAT: Duration = Duration::from_millis(50);

/// The addresses that each server last stood for; none for one that is gone, or was never there.
pub(super) type Known = HashMap<ServerAddress, Vec<SocketAddr>>;

/// Resolves the servers of a pool until it is gone, and lets ejections that have ended take effect. A name that takes long
/// delays no other.
pub(super) async fn discover(pool: Weak<BackendPool>, known: Known) {
    let Some(servers) = pool.upgrade().map(|pool| pool.spec.servers.clone()) else { return };
    let book = Mutex::new(Book { known, unasked: servers.len() });
    join_all(servers.iter().map(|server| follow(&pool, &server.address, &book))).await;
}

/// What the names of a pool stand for, and how many of them were not looked up yet.
struct Book {
    known: Known,
    unasked: usize,
}

async fn follow(pool: &Weak<BackendPool>, server: &ServerAddress, book: &Mutex<Book>) {
    let mut is_first = true;
    while let Some(pool) = pool.upgrade() {
        let mut look = pool.names.subscribe();
        // Asked for without holding on to the pool, which may end meanwhile.
        let (resolver, weak) = (Arc::clone(&pool.tools.resolver), pool.downgrade());
        drop(pool);
        let answer = resolver.resolve(server).await;
        let Some(pool) = weak.upgrade() else { return };
        note(&pool, server, answer, book, std::mem::take(&mut is_first));
        drop(pool);
        tokio::time::sleep(PAUSE_MIN).await;
        let rest = RESOLVE_EVERY.saturating_sub(PAUSE_MIN);
        // Either way the name is looked up next.
        let _ = tokio::time::timeout(rest, look.changed()).await;
    }
}

/// Makes the members of a pool what this answer and the last ones of its other servers say.
fn note(
    pool: &Arc<BackendPool>,
    server: &ServerAddress,
    answer: Result<Lookup, LookupError>,
    book: &Mutex<Book>,
    is_first: bool,
) {
    let mut book = book.lock();
    if !matches!(answer, Ok(Lookup::Found(_) | Lookup::HalfFound(_))) {
        pool.metrics.resolve_failed();
    }
    let before = book.known.get(server);
    tell(pool, server, before, &answer);
    let in_repair = match &answer {
        Ok(answer) => in_repair(pool, server, *answer == Lookup::Gone),
        Err(_) => Vec::new(),
    };
    let now = stands_for(before.map_or(&[], Vec::as_slice), answer, &in_repair);
    book.known.insert(server.clone(), now);
    book.unasked -= usize::from(is_first);
    if book.unasked == 0 {
        pool.set_resolved();
    }
    pool.set_members(members(&pool.spec.servers, &book.known));
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
            log::warn!("upstream {name}: {server} does not resolve yet (there is no such name); it joins when it does");
        }
        (Err(error), None) => {
            log::warn!("upstream {name}: {server} does not resolve yet ({error}); it joins when it does");
        }
        (Ok(Lookup::Gone), Some(addresses)) if !addresses.is_empty() => {
            log::warn!("upstream {name}: {server} is gone; its backends leave until the name is back");
        }
        (Err(error), Some(addresses)) if !addresses.is_empty() => {
            log::debug!("upstream {name}: {server} does not resolve ({error}); its last addresses stay");
        }
        (Ok(Lookup::Gone) | Err(_), Some(_)) => {}
    }
}

/// Starts the probes of a backend, where its upstream has a check.
pub(super) fn start_probes(pool: &Arc<BackendPool>, backend: &Arc<Backend>) -> Option<OwnedTask> {
    let check = pool.spec.check.clone()?;
    match Probe::new(&check, backend.server(), backend.address()) {
        Ok(probe) => Some(OwnedTask::spawn(probe_on(pool.downgrade(), Arc::clone(backend), probe, check))),
        Err(error) => {
            log::error!("upstream {}: {} cannot be probed: {error}", pool.spec.name, backend.address());
            None
        }
    }
}

async fn probe_on(pool: Weak<BackendPool>, backend: Arc<Backend>, probe: Probe, check: CheckSpec) {
    let lasting = backend.lasting();
    loop {
        let start = Instant::now();
        let Some(deadline) = pool.upgrade().map(|pool| deadline(&pool, &backend, check.timeout, start)) else { return };
        let hurried = deadline < check.timeout;
        lasting.probing.begin(backend.waiting(), start);
        let mut asked_again = false;
        let asking =
            async { if backend.pretends_sick() { Some(Err(Failure::Timeout)) } else { probe.ask(deadline).await } };
        let mut asking = std::pin::pin!(asking);
        let result = loop {
            tokio::select! {
                result = &mut asking => break Some(result),
                () = lasting.probe_now.notified(), if !asked_again => {
                    asked_again = true;
                    if !hurried && is_in_doubt(&backend, Instant::now()) {
                        break None;
                    }
                }
            }
        };
        // One that began before there was any doubt would take its time.
        let Some(result) = result else { continue };
        let took = start.elapsed();
        lasting.probing.end(took);
        let Some(pool) = pool.upgrade() else { return };
        match result {
            Some(result) => pool.observe(&backend, result, took, hurried),
            None => log::debug!(
                "{} of {} could not be probed: nothing left here to ask with",
                backend.address(),
                pool.spec.name
            ),
        }
        drop(pool);
        let ended = Instant::now();
        let due = if asked_again || is_in_doubt(&backend, ended) {
            ended + PAUSE_MIN
        } else {
            next_probe(ended, pause(&check, is_pressing(&backend)))
        };
        let asked = tokio::time::timeout_at(due.into(), lasting.probe_now.notified()).await;
        if asked.is_ok() {
            // At once, but not over and over.
            tokio::time::sleep_until((ended + PAUSE_MIN).min(due).into()).await;
        }
    }
}

/// True while requests say that a backend is sick and its check has not decided.
fn is_in_doubt(backend: &Backend, now: Instant) -> bool {
    backend.check_state() == CheckState::Up && backend.lasting().evidence.is_doubted(now)
}

fn deadline(pool: &BackendPool, backend: &Backend, usual: Duration, now: Instant) -> Duration {
    if is_in_doubt(backend, now) { pool.latencies.hurried(usual) } else { usual }
}

/// True while a state is in doubt, or has just gone against a backend: many come back at once.
fn is_pressing(backend: &Backend) -> bool {
    let health = backend.lasting().health.lock();
    health.is_wavering() || (health.check_state() == CheckState::Down && health.since().elapsed() < JUST_DOWN)
}

/// When the next probe begins. Where pauses are long it waits for the next beat, so that a process with a thousand
/// backends wakes for many of them at a time.
fn next_probe(now: Instant, pause: Duration) -> Instant {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let due = now + pause;
    if pause < BEAT * 20 {
        return due;
    }
    let beats = due.saturating_duration_since(*START).as_nanos().div_ceil(BEAT.as_nanos());
    *START + BEAT * u32::try_from(beats).unwrap_or(u32::MAX)
}

/// `every` give or take a tenth, so that edges and backends do not beat in step; a quarter of it while a state
/// is in doubt, so that a flip takes no longer than it must (HAProxy's `fastinter`).
fn pause(check: &CheckSpec, pressing: bool) -> Duration {
    let every = if pressing { check.every / 4 } else { check.every };
    every.mul_f64(0.9 + 0.2 * fastrand::f64())
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

    #[test]
    fn long_pauses_end_on_a_beat_and_short_ones_in_time() {
        let now = Instant::now();
        for ms in [1_000, 1_801, 2_199, 60_000] {
            let pause = Duration::from_millis(ms);
            let (one, other) = (next_probe(now, pause), next_probe(now + Duration::from_micros(10), pause));
            assert!(now + pause <= one && one < now + pause + BEAT, "{ms}");
            assert_eq!(other.saturating_duration_since(one).as_nanos() % BEAT.as_nanos(), 0, "{ms}");
        }
        assert_eq!(next_probe(now, Duration::from_millis(500)), now + Duration::from_millis(500));
    }
}
