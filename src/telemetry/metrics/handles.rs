//! The counters of one route, upstream or backend, resolved once. Counting is an atomic add; dropping the last handle
//! removes the series.

use std::collections::HashMap;
use std::collections::btree_map::{BTreeMap, Entry};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};

use crate::telemetry::reason::{CheckResult, ErrorReason, FailureKind};

use super::list::{BackendList, RouteList, UpstreamList};

/// Labels of `class`, by the first digit of the status; 0 is no answer at all.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// The statuses that have a counter; one of another is counted by its class alone.
const STATUSES: Range<u16> = 100..600;

/// Counters of single statuses, each there once it was seen: by its first digit, then by the other two.
#[derive(Default)]
struct Statuses([OnceLock<Box<[OnceLock<IntCounter>; 100]>>; 5]);

impl Statuses {
    fn inc(&self, status: u16, build: impl FnOnce(&str) -> IntCounter) {
        if !STATUSES.contains(&status) {
            return;
        }
        let (class, rest) = (usize::from(status / 100) - 1, usize::from(status % 100));
        let counters = self.0[class].get_or_init(|| Box::new([const { OnceLock::new() }; 100]));
        counters[rest].get_or_init(|| build(&status.to_string())).inc();
    }

    /// Those that were seen.
    fn seen(&self) -> impl Iterator<Item = String> {
        let is_seen = |status: &u16| {
            let counters = self.0[usize::from(status / 100) - 1].get();
            counters.is_some_and(|counters| counters[usize::from(status % 100)].get().is_some())
        };
        STATUSES.filter(is_seen).map(|status| status.to_string())
    }
}

/// The handles of one kind that are alive. Two configurations that share a route share its handle.
pub(super) struct Shelf<List, Key, Handle> {
    list: List,
    live: Mutex<BTreeMap<Key, Weak<Handle>>>,
}

impl<List, Key: Ord + Clone, Handle> Shelf<List, Key, Handle> {
    pub(super) fn new(list: List) -> Arc<Self> {
        Arc::new(Self { list, live: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Weak<Handle>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: Key, build: impl FnOnce(&List) -> Handle) -> Arc<Handle> {
        let mut live = self.lock();
        match live.entry(key) {
            Entry::Occupied(mut entry) => entry.get().upgrade().unwrap_or_else(|| {
                let handle = Arc::new(build(&self.list));
                entry.insert(Arc::downgrade(&handle));
                handle
            }),
            Entry::Vacant(entry) => {
                let handle = Arc::new(build(&self.list));
                entry.insert(Arc::downgrade(&handle));
                handle
            }
        }
    }

    /// Called when a handle was dropped: removes its series, unless a new handle took its place meanwhile.
    fn forget(&self, key: &Key, remove: impl FnOnce(&List)) {
        let mut live = self.lock();
        if live.get(key).is_some_and(|handle| handle.strong_count() == 0) {
            live.remove(key);
            remove(&self.list);
        }
    }
}

pub(super) type Routes = Shelf<RouteList, (String, String), RouteMetrics>;
pub(super) type Upstreams = Shelf<UpstreamList, String, UpstreamMetrics>;
pub(super) type Backends = Shelf<BackendList, (String, String), BackendMetrics>;

/// The counters of one route.
pub struct RouteMetrics {
    shelf: Arc<Routes>,
    key: (String, String),
    classes: [IntCounter; CLASSES.len()],
    statuses: Statuses,
    errors: [IntCounter; ErrorReason::ALL.len()],
    duration: Histogram,
    request_bytes: IntCounter,
    response_bytes: IntCounter,
    retries: IntCounter,
    held: IntCounter,
}

impl RouteMetrics {
    pub(super) fn of(shelf: &Arc<Routes>, route: &str, upstream: &str) -> Arc<Self> {
        let key = (route.to_owned(), upstream.to_owned());
        shelf.get(key.clone(), |list| Self {
            shelf: Arc::clone(shelf),
            statuses: Statuses::default(),
            classes: CLASSES.map(|class| list.requests.with_label_values(&[route, upstream, class])),
            errors: ErrorReason::ALL.map(|reason| list.errors.with_label_values(&[route, upstream, reason.as_str()])),
            duration: list.duration.with_label_values(&[route, upstream]),
            request_bytes: list.request_bytes.with_label_values(&[route, upstream]),
            response_bytes: list.response_bytes.with_label_values(&[route, upstream]),
            retries: list.retries.with_label_values(&[route, upstream]),
            held: list.held.with_label_values(&[route, upstream]),
            key,
        })
    }

    /// Counts one finished request. A status of 0 is no answer at all; by number it is 499, as in nginx's log.
    pub fn finished(&self, status: u16, duration: Duration, request_bytes: u64, response_bytes: u64) {
        let class = usize::from(status / 100);
        self.classes[if class < CLASSES.len() { class } else { 0 }].inc();
        let (route, upstream) = (&*self.key.0, &*self.key.1);
        let shown = if status == 0 { 499 } else { status };
        self.statuses.inc(shown, |status| self.shelf.list.responses.with_label_values(&[route, upstream, status]));
        self.duration.observe(duration.as_secs_f64());
        self.request_bytes.inc_by(request_bytes);
        self.response_bytes.inc_by(response_bytes);
    }

    /// Counts one failed request, beside [`Self::finished`].
    pub fn failed(&self, reason: ErrorReason) {
        self.errors[reason as usize].inc();
    }

    /// Counts one further attempt.
    pub fn retried(&self) {
        self.retries.inc();
    }

    /// Counts one request that had to wait for a backend.
    pub fn held(&self) {
        self.held.inc();
    }

    /// Requests finished so far.
    pub fn requests(&self) -> u64 {
        self.classes.iter().map(IntCounter::get).sum()
    }

    /// Of those, the ones that failed, but for those whose clients were at fault: an answer of 5xx, the edge's own or a
    /// backend's.
    pub fn server_errors(&self) -> u64 {
        self.classes[5].get()
    }

    /// Of those, the ones that waited for a backend.
    pub fn held_total(&self) -> u64 {
        self.held.get()
    }
}

impl Drop for RouteMetrics {
    fn drop(&mut self) {
        let (route, upstream) = (&*self.key.0, &*self.key.1);
        self.shelf.forget(&self.key, |list| {
            for class in CLASSES {
                let _ = list.requests.remove_label_values(&[route, upstream, class]);
            }
            for status in self.statuses.seen() {
                let _ = list.responses.remove_label_values(&[route, upstream, &status]);
            }
            for reason in ErrorReason::ALL {
                let _ = list.errors.remove_label_values(&[route, upstream, reason.as_str()]);
            }
            let _ = list.duration.remove_label_values(&[route, upstream]);
            for counters in [&list.request_bytes, &list.response_bytes, &list.retries, &list.held] {
                let _ = counters.remove_label_values(&[route, upstream]);
            }
        });
    }
}

/// The counters of one upstream.
pub struct UpstreamMetrics {
    shelf: Arc<Upstreams>,
    key: String,
    held: IntGauge,
    overloaded: IntGauge,
    shed: IntCounter,
    resolve_failures: IntCounter,
    heals: Mutex<HashMap<(String, &'static str), IntCounter>>,
    ladders: Mutex<HashMap<&'static str, Histogram>>,
    gave_up: IntCounter,
}

impl UpstreamMetrics {
    pub(super) fn of(shelf: &Arc<Upstreams>, upstream: &str) -> Arc<Self> {
        shelf.get(upstream.to_owned(), |list| Self {
            shelf: Arc::clone(shelf),
            key: upstream.to_owned(),
            held: list.held.with_label_values(&[upstream]),
            overloaded: list.overloaded.with_label_values(&[upstream]),
            shed: list.shed.with_label_values(&[upstream]),
            resolve_failures: list.resolve_failures.with_label_values(&[upstream]),
            heals: Mutex::default(),
            ladders: Mutex::default(),
            gave_up: list.gave_up.with_label_values(&[upstream]),
        })
    }

    /// Requests waiting now for a backend of this upstream.
    pub fn held_now(&self) -> &IntGauge {
        &self.held
    }

    /// 1 while every backend has more than it can answer, else 0.
    pub fn overloaded(&self) -> &IntGauge {
        &self.overloaded
    }

    /// Counts one request refused because of that.
    pub fn shed(&self) {
        self.shed.inc();
    }

    /// Counts one name that did not resolve.
    pub fn resolve_failed(&self) {
        self.resolve_failures.inc();
    }

    /// Counts one heal step. `step` is as the file words it; `result` is one word of a closed set.
    pub fn heal_step(&self, step: &str, result: &'static str) {
        let mut heals = self.heals.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = heals.entry((step.to_owned(), result));
        counter.or_insert_with(|| self.shelf.list.heals.with_label_values(&[&self.key, step, result])).inc();
    }

    /// Counts one heal that ended and how long it took. `result` is one word of a closed set.
    pub fn heal_ended(&self, result: &'static str, took: Duration) {
        let mut ladders = self.ladders.lock().unwrap_or_else(PoisonError::into_inner);
        let histogram = ladders.entry(result);
        let histogram =
            histogram.or_insert_with(|| self.shelf.list.heal_duration.with_label_values(&[&self.key, result]));
        histogram.observe(took.as_secs_f64());
    }

    /// Counts a backend that healing was given up on.
    pub fn heal_gave_up(&self) {
        self.gave_up.inc();
    }
}

impl Drop for UpstreamMetrics {
    fn drop(&mut self) {
        let heals = std::mem::take(self.heals.get_mut().unwrap_or_else(PoisonError::into_inner));
        let ladders = std::mem::take(self.ladders.get_mut().unwrap_or_else(PoisonError::into_inner));
        self.shelf.forget(&self.key, |list| {
            for gauges in [&list.held, &list.overloaded] {
                let _ = gauges.remove_label_values(&[&self.key]);
            }
            let _ = list.shed.remove_label_values(&[&self.key]);
            let _ = list.resolve_failures.remove_label_values(&[&self.key]);
            let _ = list.gave_up.remove_label_values(&[&self.key]);
            for (step, result) in heals.keys() {
                let _ = list.heals.remove_label_values(&[&self.key, step, result]);
            }
            for result in ladders.keys() {
                let _ = list.heal_duration.remove_label_values(&[&self.key, result]);
            }
        });
    }
}

/// The counters of one backend.
pub struct BackendMetrics {
    shelf: Arc<Backends>,
    key: (String, String),
    up: IntGauge,
    in_flight: IntGauge,
    requests: IntCounter,
    failures: [IntCounter; FailureKind::ALL.len()],
    checks: [IntCounter; CheckResult::ALL.len()],
    check_duration: Histogram,
    ejections: IntCounter,
}

impl BackendMetrics {
    pub(super) fn of(shelf: &Arc<Backends>, upstream: &str, backend: &str) -> Arc<Self> {
        let key = (upstream.to_owned(), backend.to_owned());
        shelf.get(key.clone(), |list| Self {
            shelf: Arc::clone(shelf),
            up: list.up.with_label_values(&[upstream, backend]),
            in_flight: list.in_flight.with_label_values(&[upstream, backend]),
            requests: list.requests.with_label_values(&[upstream, backend]),
            failures: FailureKind::ALL.map(|kind| list.failures.with_label_values(&[upstream, backend, kind.as_str()])),
            checks: CheckResult::ALL.map(|result| list.checks.with_label_values(&[upstream, backend, result.as_str()])),
            check_duration: list.check_duration.with_label_values(&[upstream, backend]),
            ejections: list.ejections.with_label_values(&[upstream, backend]),
            key,
        })
    }

    /// 1 while the backend may get requests, else 0.
    pub fn up(&self) -> &IntGauge {
        &self.up
    }

    /// Requests the backend is answering now.
    pub fn in_flight(&self) -> &IntGauge {
        &self.in_flight
    }

    /// Requests sent to the backend so far; count each attempt once.
    pub fn requests(&self) -> &IntCounter {
        &self.requests
    }

    /// Counts one failure.
    pub fn failed(&self, kind: FailureKind) {
        self.failures[kind as usize].inc();
    }

    /// Failures of every kind so far.
    pub fn failures(&self) -> u64 {
        self.failures.iter().map(IntCounter::get).sum()
    }

    /// Counts one check.
    pub fn checked(&self, result: CheckResult, duration: Duration) {
        self.checks[result as usize].inc();
        self.check_duration.observe(duration.as_secs_f64());
    }

    /// Counts one removal from rotation on passive evidence.
    pub fn ejected(&self) {
        self.ejections.inc();
    }
}

impl Drop for BackendMetrics {
    fn drop(&mut self) {
        let (upstream, backend) = (&*self.key.0, &*self.key.1);
        self.shelf.forget(&self.key, |list| {
            for kind in FailureKind::ALL {
                let _ = list.failures.remove_label_values(&[upstream, backend, kind.as_str()]);
            }
            for result in CheckResult::ALL {
                let _ = list.checks.remove_label_values(&[upstream, backend, result.as_str()]);
            }
            for gauges in [&list.up, &list.in_flight] {
                let _ = gauges.remove_label_values(&[upstream, backend]);
            }
            for counters in [&list.requests, &list.ejections] {
                let _ = counters.remove_label_values(&[upstream, backend]);
            }
            let _ = list.check_duration.remove_label_values(&[upstream, backend]);
        });
    }
}

impl fmt::Debug for RouteMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RouteMetrics").field(&self.key).finish()
    }
}

impl fmt::Debug for UpstreamMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UpstreamMetrics").field(&self.key).finish()
    }
}

impl fmt::Debug for BackendMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BackendMetrics").field(&self.key).finish()
    }
}
