//! The immutable runtime form of one site. A request pins one snapshot and reads nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::model::{AuthSpec, RouteSpec, SiteSpec};
use crate::filter::{Cors, Forwarding};
use crate::routing::{RouteTable, caseless};
use crate::telemetry::metrics::route_label;
use crate::telemetry::{Limiter, RouteMetrics};
use crate::types::{PathPrefix, UpstreamName};
use crate::upstream::{Upstream, UpstreamTools};

/// Everything a request needs to know, built ahead.
pub struct Snapshot {
    /// Counts the configurations that were in force since the start, from 1.
    pub generation: u64,
    /// What it was built from.
    pub site: Arc<SiteSpec>,
    /// Every route, arranged for look-up.
    pub routes: RouteTable<Arc<Route>>,
    /// Every upstream by name, those without a route too.
    pub upstreams: BTreeMap<UpstreamName, Arc<Upstream>>,
    /// What backends are told about clients.
    pub forwarding: Forwarding,
    /// Where any route asks an auth upstream: every route once more.
    pub folded: Option<Folded>,
}

/// The routes as a service finds them that knows no capitals.
pub struct Folded {
    /// With paths in small letters.
    pub routes: RouteTable<Arc<Route>>,
    /// A route that asks has capitals, so that a path without any may be meant for it.
    pub has_capitals: bool,
}

/// A route at work.
pub struct Route {
    /// What it was built from.
    pub spec: Arc<RouteSpec>,
    /// Where it leads.
    pub upstream: Arc<Upstream>,
    /// Its own CORS, or its upstream's.
    pub cors: Option<Cors>,
    /// Whom it asks before a request goes on.
    pub auth: Option<Auth>,
    /// Its host and path as logs and metrics name it.
    pub label: String,
    /// Its counters.
    pub metrics: Arc<RouteMetrics>,
    /// Keeps its warnings to one a second.
    pub warnings: Limiter,
}

/// Whom a route asks before a request goes on, ready to be asked.
pub struct Auth {
    /// What it was built from.
    pub spec: AuthSpec,
    /// Who is asked.
    pub upstream: Arc<Upstream>,
}

impl Snapshot {
    /// Builds a snapshot and starts what is new in it. An upstream whose spec is equal stays as it is; one that
    /// changed keeps the health and counters of the addresses that stay. Runs inside the runtime.
    pub fn start(generation: u64, site: SiteSpec, previous: Option<&Self>, tools: &UpstreamTools) -> Self {
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
        let route = |spec: &Arc<RouteSpec>| {
            let upstream = upstreams.get(&spec.to)?;
            let cors = spec.cors.as_ref().or(upstream.spec().cors.as_ref()).map(Cors::new);
            let auth = match &spec.auth {
                // A route whose auth upstream is not there would be no route at all, and never one that is open to all.
                Some(auth) => Some(Auth { spec: auth.clone(), upstream: Arc::clone(upstreams.get(&auth.to)?) }),
                None => None,
            };
            let (label, metrics) = (route_label(spec), tools.metrics.route(spec));
            Some(Arc::new(Route {
                spec: Arc::clone(spec),
                upstream: Arc::clone(upstream),
                cors,
                auth,
                label,
                metrics,
                warnings: Limiter::default(),
            }))
        };
        let built: Vec<_> = site.routes.iter().filter_map(|spec| Some((spec, route(spec)?))).collect();
        let routes = RouteTable::new(built.iter().map(|(spec, r)| (spec.host.as_ref(), &spec.path, Arc::clone(r))));
        let forwarding = Forwarding::new(site.trusted_proxies.clone());
        let folded = site.routes.iter().any(|spec| spec.auth.is_some()).then(|| folded(&built));
        drop(built);
        Self { generation, site: Arc::new(site), routes, upstreams, forwarding, folded }
    }

    /// Waits until the upstreams that are new in it were probed once, but no longer than `limit`.
    pub async fn ready(&self, limit: std::time::Duration) {
        let waits = self.upstreams.values().map(|upstream| upstream.ready(limit));
        futures_util::future::join_all(waits).await;
    }
}

/// Every route without capitals; of those that are one then, the one that asks.
fn folded(routes: &[(&Arc<RouteSpec>, Arc<Route>)]) -> Folded {
    let small = |(spec, route): &(&Arc<RouteSpec>, Arc<Route>)| {
        Some((spec.host.clone(), PathPrefix::parse(&caseless(spec.path.as_str())).ok()?, Arc::clone(route)))
    };
    let mut small: Vec<_> = routes.iter().filter_map(small).collect();
    // The last of two stays.
    small.sort_by_key(|(_, _, route)| route.auth.is_some());
    Folded {
        routes: RouteTable::new(small.iter().map(|(host, path, route)| (host.as_ref(), path, Arc::clone(route)))),
        has_capitals: small.iter().any(|(_, path, route)| route.auth.is_some() && *path != route.spec.path),
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
