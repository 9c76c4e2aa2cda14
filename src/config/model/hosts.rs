//! The program of a file that is written by host and path: which virtual hosts it has, and which routes each of them finds.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ipnet::IpNet;

use crate::types::{HostPattern, UpstreamName};

use super::route::Route;
use super::site::{HostId, Listener, Location, Names, PathMatch, RouteId, Site, VirtualHost};
use super::upstream::UpstreamSpec;

impl Site {
    /// Arranges the routes of a file that is written by host and path. Its listeners, so many, have all of them in common, and a host
    /// whose routes do not cover a path has that path's route of the next wildcard, or of any host, copied in.
    pub fn of_hosts(
        listeners: usize,
        routes: Vec<Route>,
        upstreams: BTreeMap<UpstreamName, Arc<UpstreamSpec>>,
        trusted_proxies: Vec<IpNet>,
    ) -> Self {
        let mut by_host: BTreeMap<Option<&HostPattern>, Vec<usize>> = BTreeMap::new();
        by_host.entry(None).or_default();
        for (number, route) in routes.iter().enumerate() {
            by_host.entry(route.host.as_ref()).or_default().push(number);
        }
        // Behind those of the file, whose numbers are their places.
        let own = route_id(routes.len());
        let mut suffixes: Vec<_> = by_host.keys().filter_map(|host| suffix(*host)).collect();
        suffixes.sort_by_key(|(_, suffix)| std::cmp::Reverse(suffix.len()));
        let mut names = Names { exact: BTreeMap::new(), suffixes: Vec::new(), default: HostId(0) };
        let mut hosts = Vec::with_capacity(by_host.len());
        for host in by_host.keys() {
            let id = HostId(number(hosts.len()));
            match host {
                None => names.default = id,
                Some(HostPattern::Exact(name)) => drop(names.exact.insert(name.clone(), id)),
                Some(HostPattern::Suffix(suffix)) => names.suffixes.push((suffix.clone(), id)),
            }
            let locations = locations(&routes, &by_host, &next_hosts(*host, &suffixes));
            hosts.push(VirtualHost { locations, own });
        }
        names.suffixes.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        let listeners = vec![Listener { names: Arc::new(names) }; listeners.max(1)];
        let routes = routes.into_iter().chain([Route::not_found()]).map(Arc::new).collect();
        Self { listeners, hosts, routes, upstreams, trusted_proxies }
    }
}

impl Default for Site {
    /// No route and no upstream.
    fn default() -> Self {
        Self::of_hosts(1, Vec::new(), BTreeMap::new(), Vec::new())
    }
}

/// The hosts whose routes a request for `host` may take, in the order of their precedence.
fn next_hosts<'h>(host: Option<&'h HostPattern>, suffixes: &[(&'h HostPattern, &str)]) -> Vec<Option<&'h HostPattern>> {
    let name = match host {
        None => return vec![None],
        Some(HostPattern::Exact(name) | HostPattern::Suffix(name)) => name,
    };
    let covers = |suffix: &str| suffix.len() < name.len() && name.ends_with(suffix);
    let wider = suffixes.iter().filter(|(_, suffix)| covers(suffix)).map(|(host, _)| Some(*host));
    [host].into_iter().chain(wider).chain([None]).collect()
}

/// The locations of one host: a route of a later host counts only where no route of an earlier one covers its path.
fn locations(
    routes: &[Route],
    by_host: &BTreeMap<Option<&HostPattern>, Vec<usize>>,
    hosts: &[Option<&HostPattern>],
) -> Vec<Location> {
    let mut found: HashMap<&str, usize> = HashMap::new();
    for host in hosts {
        let of_host = by_host.get(host).map_or(&[][..], Vec::as_slice);
        let fresh: Vec<_> =
            of_host.iter().filter(|number| !is_covered(&found, routes[**number].path.as_str())).collect();
        found.extend(fresh.into_iter().map(|number| (routes[*number].path.as_str(), *number)));
    }
    let mut found: Vec<_> = found.into_values().collect();
    found.sort_unstable();
    found.into_iter().flat_map(|number| of_path(routes[number].path.as_str(), route_id(number))).collect()
}

/// True where one of the paths covers this one.
fn is_covered(paths: &HashMap<&str, usize>, path: &str) -> bool {
    let ends = path.match_indices('/').map(|(end, _)| end).filter(|&end| end != 0);
    let above = ends.map(|end| &path[..end]);
    above.chain([path, "/"]).any(|path| paths.contains_key(path))
}

/// `/api` covers whole segments: the path itself, and whatever begins with `/api/`.
fn of_path(path: &str, route: RouteId) -> Vec<Location> {
    if path == "/" {
        return vec![Location { text: path.into(), matches: PathMatch::Prefix, route }];
    }
    vec![
        Location { text: path.into(), matches: PathMatch::Exact, route },
        Location { text: format!("{path}/").into(), matches: PathMatch::Prefix, route },
    ]
}

fn suffix(host: Option<&HostPattern>) -> Option<(&HostPattern, &str)> {
    match host? {
        HostPattern::Exact(_) => None,
        host @ HostPattern::Suffix(suffix) => Some((host, suffix)),
    }
}

fn route_id(place: usize) -> RouteId {
    RouteId(number(place))
}

/// The file has at most 10,000 routes.
fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
