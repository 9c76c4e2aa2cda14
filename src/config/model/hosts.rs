//! The program of a file that is written by host and path: which virtual hosts it has, and which routes each of them finds.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use crate::types::{HostPattern, UpstreamName};

use super::route::Route;
use super::site::{HostId, Listener, Location, LocationsId, Names, PathMatch, RouteId, Site, VirtualHost};
use super::upstream::UpstreamSpec;

impl Site {
    /// Arranges the routes of a file that is written by host and path. Its listeners, so many, have all of them in common.
    /// What no route of a host takes is taken by those of the next wildcard that covers it, and at last by those of any host.
    pub fn of_hosts(
        listeners: usize,
        routes: Vec<Route>,
        upstreams: BTreeMap<UpstreamName, Arc<UpstreamSpec>>,
        trusted_proxies: Vec<IpNet>,
    ) -> Self {
        // Sets of locations and virtual hosts have the same numbers: those of their places here.
        let mut by_host: BTreeMap<Option<HostPattern>, Vec<Location>> = [(None, Vec::new())].into();
        for (place, route) in routes.iter().enumerate() {
            let locations = by_host.entry(route.host.clone()).or_default();
            locations.extend(locations_of(route.path.as_str(), RouteId(number(place))));
        }
        // Behind those of the file.
        let own = RouteId(number(routes.len()));
        let numbers: BTreeMap<Option<&HostPattern>, u32> = by_host.keys().map(Option::as_ref).zip(0..).collect();
        let mut names = Names { exact: BTreeMap::new(), suffixes: Vec::new(), default: HostId(0) };
        let mut hosts = Vec::with_capacity(by_host.len());
        for (host, number) in &numbers {
            let id = HostId(*number);
            match host {
                None => names.default = id,
                Some(HostPattern::Exact(name)) => drop(names.exact.insert(name.clone(), id)),
                Some(HostPattern::Suffix(suffix)) => names.suffixes.push((suffix.clone(), id)),
            }
            let wider = host.map(HostPattern::wider).unwrap_or_default();
            let next = wider.iter().map(Some).chain([None]).filter_map(|wider| numbers.get(&wider));
            let sets = [number].into_iter().chain(next.filter(|next| *next != number));
            hosts.push(VirtualHost { locations: sets.map(|set| LocationsId(*set)).collect(), own });
        }
        names.suffixes.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        let listeners = vec![Listener { names: Arc::new(names) }; listeners.max(1)];
        drop(numbers);
        let locations = by_host.into_values().collect();
        let routes = routes.into_iter().chain([Route::not_found()]).map(Arc::new).collect();
        Self { listeners, hosts, locations, routes, upstreams, trusted_proxies }
    }
}

impl Default for Site {
    /// No route and no upstream.
    fn default() -> Self {
        Self::of_hosts(1, Vec::new(), BTreeMap::new(), Vec::new())
    }
}

/// `/api` covers whole segments: the path itself, and whatever begins with `/api/`.
fn locations_of(path: &str, route: RouteId) -> Vec<Location> {
    if path == "/" {
        return vec![Location { text: path.into(), matches: PathMatch::Prefix, route }];
    }
    vec![
        Location { text: path.into(), matches: PathMatch::Exact, route },
        Location { text: format!("{path}/").into(), matches: PathMatch::Prefix, route },
    ]
}

/// The file has at most 10,000 routes.
fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
