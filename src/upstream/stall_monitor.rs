//! The look around every upstream with work takes twenty times a second: who answers nothing, and who has too much to do.
//!
//! It sleeps while nothing is in flight; requests pay one load of a flag for it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::config::model::CheckKind;

use super::backend::{Backend, BackendState, move_on};
use super::monitor_wake::MonitorWake;
use super::overload::{OverloadGate, OverloadSample};
use super::pile_up::{Queue, Sign};
use super::pool::BackendPool;

/// Pause between two looks.
pub(super) const BEAT: Duration = Duration::from_millis(50);
/// Looks in a row without work before it sleeps.
const IDLE_BEATS: u32 = 10;
/// Looks that are remembered; a power of two.
const KEPT: usize = 256;
/// Looks of a second.
const SECOND: usize = 20;
/// Beats that one has to wait for longer than usual to be overtaken.
const OVERTAKEN_BEATS: u64 = 2;
/// Looks for which it counts. Just when the last worker is held many more wait, and hide it.
const OVERTAKEN_LOOKS: u8 = 4;
/// Looks between two at whether requests wait in a backend that was put out.
const STRANDED_BEATS: u32 = 4;
/// Seconds of sleep after which nothing slow is remembered.
const FORGOTTEN_SECONDS: u64 = 200;
/// How long a backend that hangs is in doubt: until probes have decided.
const DOUBT: Duration = Duration::from_secs(3);

/// What the monitor remembers of one backend.
struct WatchedBackend {
    /// Answers ever, at the latest looks.
    answers: [u64; KEPT],
    looks: usize,
    /// Looks since it last answered, or had nothing to answer.
    quiet: usize,
    /// It was asked about since then.
    asked: bool,
    /// While it still answered: looks for which it counts that requests waited for longer than others.
    overtaken: u8,
    probes: u32,
    gate: OverloadGate,
}

impl WatchedBackend {
    fn new(answers: u64) -> Self {
        Self {
            answers: [answers; KEPT],
            looks: 0,
            quiet: 0,
            asked: false,
            overtaken: 0,
            probes: 0,
            gate: OverloadGate::default(),
        }
    }

    /// Notes the answers ever, and how many wait for how many beats together.
    fn note(&mut self, answers: u64, (waiting, age): (usize, u64)) {
        let last = self.answers[self.looks % KEPT];
        self.looks += 1;
        self.answers[self.looks % KEPT] = answers;
        if answers == last && waiting != 0 {
            self.quiet += 1;
        } else {
            // Only an answer shows that it does not hang.
            (self.quiet, self.asked) = (0, self.asked && answers == last);
            self.overtaken =
                if self.is_overtaken(waiting, age) { OVERTAKEN_LOOKS } else { self.overtaken.saturating_sub(1) };
        }
    }

    /// True where those that wait have waited for longer than it takes by their number and the rate of answers (Little).
    fn is_overtaken(&self, waiting: usize, age: u64) -> bool {
        let waiting = u64::try_from(waiting).unwrap_or(u64::MAX);
        let usual = 1 + waiting.saturating_mul(SECOND as u64) / self.since(SECOND).max(1);
        waiting.saturating_mul(usual) + OVERTAKEN_BEATS < age
    }

    /// Answers of the latest looks.
    fn since(&self, looks: usize) -> u64 {
        let looks = looks.min(KEPT - 1).min(self.looks);
        self.answers[self.looks % KEPT].saturating_sub(self.answers[(self.looks - looks) % KEPT])
    }
}

/// Looks around until the pool is gone.
pub(super) async fn keep(pool: Weak<BackendPool>, monitor_wake: Arc<MonitorWake>) {
    let mut watched = HashMap::new();
    let (mut idle, mut beats) = (0, 0_u32);
    let mut interval = tokio::time::interval(BEAT);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(pool) = pool.upgrade() else { return };
        let mut has_work = pool.look_around(&mut watched, Instant::now());
        beats = beats.wrapping_add(1);
        if beats.is_multiple_of(STRANDED_BEATS) && pool.has_stranded() {
            // There may be room elsewhere by now.
            move_on();
            has_work = true;
        }
        idle = if has_work { 0 } else { idle + 1 };
        if beats.is_multiple_of(20) {
            pool.latencies.forget();
        }
        if idle < IDLE_BEATS {
            continue;
        }
        if !monitor_wake.may_sleep(|| pool.has_work()) {
            continue;
        }
        let weak = Arc::downgrade(&pool);
        drop(pool);
        let slept = Instant::now();
        monitor_wake.sleep().await;
        // What was before the sleep says nothing about now.
        watched.clear();
        idle = 0;
        let Some(pool) = weak.upgrade() else { return };
        for _ in 0..slept.elapsed().as_secs().min(FORGOTTEN_SECONDS) {
            pool.latencies.forget();
        }
        interval.reset();
    }
}

impl BackendPool {
    /// True while requests wait in a backend that gets no more of them.
    fn has_stranded(&self) -> bool {
        self.present().iter().any(|backend| backend.waiting() != 0 && backend.state() != BackendState::Up)
    }

    fn has_work(&self) -> bool {
        self.rotation.load().all().iter().any(|backend| backend.waiting() != 0)
    }

    /// One look; true while there is something to look at.
    fn look_around(&self, watched: &mut HashMap<SocketAddr, WatchedBackend>, now: Instant) -> bool {
        let beat = self.beat.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let rotation = self.rotation.load_full();
        let backends = rotation.all();
        for backend in backends {
            let (answers, ages) = (backend.lasting().evidence.answers(), backend.lasting().waits.ages(beat));
            watched.entry(backend.address()).or_insert_with(|| WatchedBackend::new(answers)).note(answers, ages);
        }
        if let Some(check) = self.spec.check.as_ref().filter(|check| matches!(check.kind, CheckKind::Http { .. })) {
            for backend in backends {
                self.look_at(backend, backends, watched, now);
                self.weigh(backend, watched, check.timeout, now);
            }
            self.tell_overload(backends);
        }
        if backends.len() < watched.len() {
            let present = self.present();
            watched.retain(|address, _| present.iter().any(|backend| backend.address() == *address));
        }
        backends.iter().any(|backend| backend.waiting() != 0 || backend.is_limited())
    }

    /// Looks whether requests pile up at one backend.
    fn look_at(
        &self,
        backend: &Arc<Backend>,
        all: &[Arc<Backend>],
        watched: &mut HashMap<SocketAddr, WatchedBackend>,
        now: Instant,
    ) {
        let address = backend.address();
        let Some(WatchedBackend { quiet, asked: false, overtaken, .. }) = watched.get(&address) else { return };
        let (quiet, overtaken) = (*quiet, *overtaken != 0);
        if quiet < 2 {
            return;
        }
        let siblings = all.iter().filter(|sibling| sibling.address() != address);
        let answers = siblings.filter_map(|sibling| Some(watched.get(&sibling.address())?.since(quiet))).max();
        let queue = Queue {
            waiting: backend.waiting(),
            silence: backend.lasting().evidence.silence(now),
            sibling_answers: answers.unwrap_or(0),
            slowest: self.latencies.slowest_answer(),
            overtaken,
        };
        match queue.sign() {
            Sign::Nothing => return,
            Sign::Stuck => {
                if backend.lasting().evidence.may_suspect(now) {
                    self.suspect(backend);
                }
                return;
            }
            Sign::Hangs => {}
        }
        if let Some(watched) = watched.get_mut(&address) {
            // Asked once: a replica whose health page answers beside workers that hang is not asked over and over.
            watched.asked = true;
        }
        if backend.state() == BackendState::Up {
            backend.lasting().evidence.doubt(DOUBT, now);
            self.eject_hanging(backend, queue.waiting, queue.silence);
        }
    }

    /// Finds how many requests may wait at one backend.
    fn weigh(
        &self,
        backend: &Backend,
        watched: &mut HashMap<SocketAddr, WatchedBackend>,
        timeout: Duration,
        now: Instant,
    ) {
        let Some(watched) = watched.get_mut(&backend.address()) else { return };
        let probes = &backend.lasting().probe_times;
        let (ended, took) = probes.ended();
        let has_ended = std::mem::replace(&mut watched.probes, ended) != ended;
        let seen = OverloadSample {
            waiting: backend.waiting(),
            rate: rate(watched),
            probe_age: probes.age(now),
            probe_ended: has_ended.then(|| (took, probes.waiting())),
            slow: self.latencies.slow(timeout),
            timeout,
        };
        if watched.gate.step(&seen, now) {
            backend.lasting().probe_now.notify_one();
        }
        backend.lasting().limit.store(watched.gate.limit(), Ordering::Relaxed);
    }

    /// Says once when all backends have more than they can do, and once when that is over.
    fn tell_overload(&self, backends: &[Arc<Backend>]) {
        let is_overloaded = !backends.is_empty() && backends.iter().all(|backend| backend.is_limited());
        if self.overloaded.swap(is_overloaded, Ordering::Relaxed) == is_overloaded {
            return;
        }
        let name = &self.spec.name;
        if is_overloaded {
            let waiting: usize = backends.iter().map(|backend| backend.waiting()).sum();
            log::warn!(
                "upstream {name} is overloaded: {waiting} requests waiting, and probes queued behind them; \
                 shedding excess requests with 503"
            );
        } else {
            log::info!("upstream {name} is no longer overloaded");
        }
    }
}

/// Answers a second over the last one, or what there was of it.
fn rate(watched: &WatchedBackend) -> f64 {
    let looks = watched.looks.clamp(1, SECOND);
    let answers = u32::try_from(watched.since(looks)).unwrap_or(u32::MAX);
    f64::from(answers) * f64::from(u32::try_from(SECOND / looks.max(1)).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many wait at a look, and for how many beats together.
    type Waits = (usize, u64);

    /// Looks of a backend with so many answers a beat, then what waits and how long.
    fn after(answers_a_beat: u64, waits: &[Waits]) -> WatchedBackend {
        let mut watched = WatchedBackend::new(0);
        for beat in 1..=40 {
            watched.note(beat * answers_a_beat, (1, 0));
        }
        for (wait, beat) in waits.iter().zip(41..) {
            watched.note(beat * answers_a_beat, *wait);
        }
        watched
    }

    #[test]
    fn who_waited_for_longer_than_others_was_overtaken() {
        #[rustfmt::skip]
        let rows: [(&str, u64, &[Waits], bool); 6] = [
            ("quick answers",                     5, &[(2, 1), (3, 2), (1, 1)],                     false),
            ("a pause of 100 ms",                 5, &[(10, 10), (5, 5)],                           false),
            ("slow answers, all alike",           1, &[(6, 18), (6, 18)],                           false),
            ("one that takes its time",           5, &[(2, 5), (2, 6)],                             true),
            ("just before all workers were held", 5, &[(2, 6), (2, 7), (9, 11)],                    true),
            ("a while ago",                       5, &[(2, 6), (2, 1), (2, 1), (2, 1), (2, 1)],     false),
        ];
        for (what, answers, waits, overtaken) in rows {
            assert_eq!(after(answers, waits).overtaken != 0, overtaken, "{what}");
        }
    }

    #[test]
    fn looks_without_an_answer_are_quiet_while_something_waits() {
        let mut watched = after(5, &[]);
        assert_eq!((watched.quiet, watched.since(SECOND)), (0, 100));
        for looks in 1..=10 {
            watched.note(200, (looks * 5, 0));
            assert_eq!((watched.quiet, watched.since(looks)), (looks, 0));
        }
        watched.asked = true;
        watched.note(201, (1, 0));
        assert_eq!((watched.quiet, watched.asked, watched.since(KEPT * 2)), (0, false, 201));
        watched.note(201, (0, 0));
        assert_eq!(watched.quiet, 0);
    }
}
