//! The task of each backend that probes it, now and again or at once. It holds the pool weakly and ends with it.

use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant};

use crate::config::model::CheckSpec;
use crate::types::OwnedTask;

use super::backend::Backend;
use super::failure::Failure;
use super::health::CheckState;
use super::pool::BackendPool;
use super::probe::Probe;

/// Shortest pause between two probes, however many requests fail meanwhile.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// How long a backend that went down is probed as often as one whose state is in doubt.
const JUST_DOWN: Duration = Duration::from_secs(30);
/// Probes begin together at multiples of this.
const BEAT: Duration = Duration::from_millis(50);

/// Starts the probes of a backend, where its upstream has a check.
pub(super) fn start_probes(pool: &Arc<BackendPool>, backend: &Arc<Backend>) -> Option<OwnedTask> {
    let check = pool.spec.check.clone()?;
    let probe = Probe::new(&check, backend.server(), backend.address());
    Some(OwnedTask::spawn(probe_on(pool.downgrade(), Arc::clone(backend), probe, check)))
}

async fn probe_on(pool: Weak<BackendPool>, backend: Arc<Backend>, probe: Probe, check: CheckSpec) {
    let lasting = backend.lasting();
    // This probe was asked for, or follows one that was and passed.
    let mut is_asked = false;
    loop {
        let start = Instant::now();
        let Some(deadline) = pool.upgrade().map(|pool| deadline(&pool, &backend, check.timeout, start)) else { return };
        let hurried = deadline < check.timeout;
        lasting.probe_times.begin(backend.waiting(), start);
        let mut asked_again = false;
        let asking = async {
            if backend.pretends_sick() { Some(Err(Failure::Timeout.into())) } else { probe.ask(deadline).await }
        };
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
        lasting.probe_times.end(took);
        let Some(pool) = pool.upgrade() else { return };
        match result {
            Some(result) => pool.observe(&backend, &result, took, hurried),
            None => {
                log::debug!("cannot probe {} of {}: the edge is out of resources", backend.address(), pool.spec.name);
            }
        }
        drop(pool);
        let ended = Instant::now();
        let comes_back = is_asked && is_coming_back(&backend);
        let due = if asked_again || comes_back || is_in_doubt(&backend, ended) {
            ended + PAUSE_MIN
        } else {
            next_probe(ended, pause(&check, is_pressing(&backend)))
        };
        let asked = tokio::time::timeout_at(due.into(), lasting.probe_now.notified()).await;
        if asked.is_ok() {
            // At once, but not over and over.
            tokio::time::sleep_until((ended + PAUSE_MIN).min(due).into()).await;
        }
        is_asked = asked_again || comes_back || asked.is_ok();
    }
}

/// True while requests say that a backend is sick and its check has not decided.
fn is_in_doubt(backend: &Backend, now: Instant) -> bool {
    backend.check_state() == CheckState::Up && backend.lasting().evidence.is_doubted(now)
}

/// True while a backend that was down passes, and has to pass more often to be up.
fn is_coming_back(backend: &Backend) -> bool {
    let health = backend.lasting().health.lock();
    health.is_wavering() && health.check_state() == CheckState::Down
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
