//! The program of a site, its texts turned into tables. Pure: it knows no backend and no socket.

use std::sync::Arc;

use crate::config::model::{HostId, Location, Route, RouteId, Site, VirtualHost};
use crate::filter::Cors;
use crate::routing::{NameTable, PathTable, caseless};

/// What requests run through, see `plan::Walk`.
pub struct Program {
    listeners: Vec<Arc<NameTable>>,
    hosts: Vec<VirtualHost>,
    /// By the number of the set of locations.
    paths: Vec<PathTable>,
    routes: Vec<ProgramRoute>,
    folded: Option<Folded>,
}

/// A route and what is made of its texts.
pub struct ProgramRoute {
    /// What it was built from.
    pub spec: Arc<Route>,
    /// Its CORS, with every value formatted.
    pub cors: Option<Arc<Cors>>,
}

/// The routes as a service finds them that knows no capitals; there where any route asks an auth upstream.
struct Folded {
    /// With paths in small letters, by the number of the set of locations.
    paths: Vec<PathTable>,
    /// A route that asks has capitals, so that a path without any may be meant for it.
    has_capitals: bool,
}

impl Program {
    /// Builds the tables.
    pub fn new(site: &Site) -> Self {
        let mut listeners: Vec<Arc<NameTable>> = Vec::with_capacity(site.listeners.len());
        for (at, listener) in site.listeners.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|before| site.listeners.get(before).zip(listeners.get(before)));
            listeners.push(match before {
                Some((other, names)) if Arc::ptr_eq(&other.names, &listener.names) => Arc::clone(names),
                _ => Arc::new(NameTable::new(&listener.names)),
            });
        }
        let route = |spec: &Arc<Route>| ProgramRoute {
            spec: Arc::clone(spec),
            cors: spec.response.cors.as_ref().map(|cors| Arc::new(Cors::new(cors))),
        };
        let asks = site.routes.iter().any(|route| route.auth().is_some());
        Self {
            listeners,
            hosts: site.hosts.clone(),
            paths: site.locations.iter().map(|locations| PathTable::of(locations)).collect(),
            routes: site.routes.iter().map(route).collect(),
            folded: asks.then(|| Folded::new(site)),
        }
    }

    /// The virtual host of a name, at the listener with this number.
    pub fn host(&self, listener: usize, name: &str) -> HostId {
        let names = self.listeners.get(listener).or(self.listeners.first());
        names.map_or(HostId(0), |names| names.find(name))
    }

    /// The route of a path in normal form; `None` where no location of the virtual host takes it.
    pub fn find(&self, host: HostId, path: &str) -> Option<RouteId> {
        self.find_in(&self.paths, host, path)
    }

    fn find_in(&self, tables: &[PathTable], host: HostId, path: &str) -> Option<RouteId> {
        let sets = self.hosts.get(place(host.0))?.locations.iter();
        sets.filter_map(|set| tables.get(place(set.0))).find_map(|table| table.find(path))
    }

    /// What takes requests of a virtual host that no location does.
    pub fn own(&self, host: HostId) -> RouteId {
        self.hosts.get(place(host.0)).map_or(RouteId(0), |host| host.own)
    }

    /// A route; one of those that this program has named.
    pub fn route(&self, id: RouteId) -> Option<&ProgramRoute> {
        self.routes.get(place(id.0))
    }

    /// Every route, by its number.
    pub fn routes(&self) -> &[ProgramRoute] {
        &self.routes
    }

    /// True where some route asks an auth upstream.
    pub fn asks(&self) -> bool {
        self.folded.is_some()
    }

    /// True where a path without capitals may be meant for a route that asks.
    pub fn asks_in_capitals(&self) -> bool {
        self.folded.as_ref().is_some_and(|folded| folded.has_capitals)
    }

    /// The route of a path to a service that knows no capitals; of routes that are one then, the one that asks.
    pub fn find_caseless(&self, host: HostId, path: &str) -> Option<RouteId> {
        self.find_in(&self.folded.as_ref()?.paths, host, &caseless(path))
    }
}

impl Folded {
    fn new(site: &Site) -> Self {
        let asks = |id: RouteId| site.routes.get(place(id.0)).is_some_and(|route| route.auth().is_some());
        let mut has_capitals = false;
        let table = |locations: &Vec<Location>| {
            let mut small: Vec<_> = locations
                .iter()
                .map(|location| {
                    let text = caseless(&location.text);
                    has_capitals |= asks(location.route) && *text != *location.text;
                    (text, location.matches, location.route)
                })
                .collect();
            // The last of two stays.
            small.sort_by_key(|(_, _, route)| asks(*route));
            PathTable::new(small.iter().map(|(text, matches, route)| (text.as_str(), *matches, *route)))
        };
        let paths = site.locations.iter().map(table).collect();
        Self { paths, has_capitals }
    }
}

fn place(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
