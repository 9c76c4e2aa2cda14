//! The immutable runtime form of one site. A request pins one snapshot and reads nothing else.

mod program;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::model::{Route, RouteId, Site};
use crate::filter::{Cors, Forwarding};
use crate::telemetry::{Limiter, RouteMetrics};
use crate::types::UpstreamName;
use crate::upstream::{Upstream, UpstreamTools};

pub use program::{Program, ProgramRoute};

/// Everything a request needs to know, built ahead.
pub struct Snapshot {
    /// Counts the configurations that were in force since the start, from 1.
    pub generation: u64,
    /// What it was built from.
    pub site: Arc<Site>,
    /// What requests run through.
    pub program: Program,
    /// The routes of the program at work, by number, and one more for what it does not name.
    routes: Vec<Arc<LiveRoute>>,
    /// Every upstream by name, those without a route too.
    pub upstreams: BTreeMap<UpstreamName, Arc<Upstream>>,
    /// What backends are told about clients.
    pub forwarding: Forwarding,
}

/// A route at work.
pub struct LiveRoute {
    /// What it was built from.
    pub spec: Arc<Route>,
    /// Its CORS, with every value formatted.
    pub cors: Option<Arc<Cors>>,
    /// Where it leads, if it does.
    pub upstream: Option<Arc<Upstream>>,
    /// Which upstream is asked whether a request is allowed.
    pub auth: Option<Arc<Upstream>>,
    /// Its host and path as logs and metrics name it; `None` where no route of the file takes a request.
    pub label: Option<Box<str>>,
    /// Its counters.
    pub metrics: Arc<RouteMetrics>,
    /// Keeps its warnings to one a second.
    pub warnings: Limiter,
}

impl Snapshot {
    /// Builds a snapshot and starts what is new in it. An upstream whose spec is equal stays as it is; one that
    /// changed keeps the health and counters of the addresses that stay. Runs inside the runtime.
    pub fn start(generation: u64, site: Site, previous: Option<&Self>, tools: &UpstreamTools) -> Self {
        let known = |name: &UpstreamName| previous.and_then(|previous| previous.upstreams.get(name));
        let mut upstreams = BTreeMap::new();
        for (name, spec) in &site.upstreams {
            let upstream = match known(name) {
                Some(same) if same.spec() == spec => Arc::clone(same),
                other => Upstream::start(Arc::clone(spec), tools.clone(), other.map(Arc::as_ref)),
            };
            upstreams.insert(name.clone(), upstream);
        }
        for (name, spec) in &site.upstreams {
            let needs: Vec<_> = spec.needs.iter().filter_map(|need| upstreams.get(need).cloned()).collect();
            if let Some(upstream) = upstreams.get(name) {
                upstream.set_needs(&needs);
            }
        }
        Upstream::introduce(upstreams.values());
        let live = |spec: &Arc<Route>, cors: Option<Arc<Cors>>| {
            let upstream = |name: Option<&UpstreamName>| name.and_then(|name| upstreams.get(name)).cloned();
            Arc::new(LiveRoute {
                spec: Arc::clone(spec),
                cors,
                upstream: upstream(spec.to()),
                auth: upstream(spec.auth().map(|auth| &auth.to)),
                label: spec.to().map(|_| spec.to_string().into()),
                metrics: tools.metrics.route(spec),
                warnings: Limiter::default(),
            })
        };
        let program = Program::new(&site);
        let routes = program.routes().iter().map(|route| live(&route.spec, route.cors.clone()));
        let routes = routes.chain([live(&Arc::new(Route::not_found()), None)]).collect();
        let forwarding = Forwarding::new(site.trusted_proxies.clone());
        Self { generation, site: Arc::new(site), program, routes, upstreams, forwarding }
    }

    /// A route that the program has named.
    pub fn route(&self, id: RouteId) -> &Arc<LiveRoute> {
        let last = self.routes.len() - 1;
        &self.routes[usize::try_from(id.0).unwrap_or(last).min(last)]
    }

    /// Waits until the upstreams that are new in it were probed once, but no longer than `limit`.
    pub async fn ready(&self, limit: std::time::Duration) {
        let waits = self.upstreams.values().map(|upstream| upstream.ready(limit));
        futures_util::future::join_all(waits).await;
    }
}

/// The snapshot in force.
pub struct SnapshotCell(ArcSwap<Snapshot>);

impl SnapshotCell {
    /// Starts with a first snapshot.
    pub fn new(first: Snapshot) -> Self {
        Self(ArcSwap::from_pointee(first))
    }

    /// The configuration in force now. Take it once per request and keep it.
    pub fn current(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// True while `snapshot` is in force.
    pub fn is_current(&self, snapshot: &Arc<Snapshot>) -> bool {
        Arc::ptr_eq(&self.0.load(), snapshot)
    }

    /// Puts the next configuration in force. Requests in flight finish on the one they pinned.
    pub fn publish(&self, next: Snapshot) {
        self.0.store(Arc::new(next));
    }
}
