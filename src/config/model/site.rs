//! The program that requests run through: listeners, virtual hosts, routes. Everything is merged and inherited before it is
//! made; what reads a file makes it, and nothing behind that asks which file it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use crate::types::UpstreamName;

use super::route::Route;
use super::upstream::UpstreamSpec;

/// The number of a route in [`Site::routes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub u32);

/// The number of a virtual host in [`Site::hosts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(pub u32);

/// The number of a set of locations in [`Site::locations`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocationsId(pub u32);

/// Everything that a reload may change.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// In the order of the sockets. Never empty.
    pub listeners: Vec<Listener>,
    /// Found by the name a request asks for. Never empty.
    pub hosts: Vec<VirtualHost>,
    /// Found by the path. No two of a set match the same; virtual hosts may have sets in common.
    pub locations: Vec<Vec<Location>>,
    /// Flat, found by number. Those of the file come in its order, and no two of them have the same host and path.
    pub routes: Vec<Arc<Route>>,
    /// Every upstream by name. Those that routes lead to are among them; one without a route is watched and healed only.
    pub upstreams: BTreeMap<UpstreamName, Arc<UpstreamSpec>>,
    /// Proxies in front of the edge whose `X-Forwarded-*` headers are believed. Default: none.
    pub trusted_proxies: Vec<IpNet>,
}

/// What requests find that come in by one socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its virtual hosts. Listeners that share them share this.
    pub names: Arc<Names>,
}

/// Virtual hosts by name: an exact name wins over a wildcard, the longer wildcard over the shorter, any of them over the
/// default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// In lower case.
    pub exact: BTreeMap<Box<str>, HostId>,
    /// `.example.com`, in lower case, the longest first.
    pub suffixes: Vec<(Box<str>, HostId)>,
    /// For every other name.
    pub default: HostId,
}

/// The routes of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualHost {
    /// The first of these sets that takes a path counts.
    pub locations: Vec<LocationsId>,
    /// What takes a request that no location does.
    pub own: RouteId,
}

/// Some paths, in normal form, and the route that takes them. An exact one wins over prefixes, the longer
/// prefix over the shorter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// A path or the beginning of one.
    pub text: Box<str>,
    /// Which of both.
    pub matches: PathMatch,
    /// Its route.
    pub route: RouteId,
}

/// What a [`Location`]'s text is to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PathMatch {
    /// All of it.
    Exact,
    /// Its beginning, wherever that ends.
    Prefix,
}

impl Site {
    /// The routes that lead to an upstream, in order: those of the file.
    pub fn to_upstreams(&self) -> impl Iterator<Item = (&Arc<Route>, &UpstreamName)> {
        self.routes.iter().filter_map(|route| Some((route, route.to()?)))
    }
}
