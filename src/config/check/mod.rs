//! Raw maps → model: every value parsed, bounded and linked to the others. Async never, the clock never.

mod alerts;
mod auth;
mod check_headers;
mod cors;
mod declared;
mod heal;
mod journal;
mod leaf;
mod limits;
mod line;
mod links;
mod listen;
mod log;
mod probe;
mod process;
mod route;
mod server;
mod step;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::changed::{ChangedDefault, DefaultsOf, changed};
use super::model::{Config, Site};
use super::problem::{Problem, Problems};
use super::proof::Prove;
use super::raw::{RawFile, RawFragment};
use super::read::{Item, field};

use crate::types::UpstreamName;

use declared::Declared;
use listen::PemFiles;
use upstream::Written;

/// What was read: the main file and those it includes.
pub(super) struct Files {
    /// Where the main file is, to which paths in it are relative.
    pub folder: PathBuf,
    /// The main file and its outermost value.
    pub main: (RawFile, Item),
    /// The others, in order.
    pub included: Vec<(RawFragment, Item)>,
    /// True when one could not be read, so that names it would define are missing.
    pub incomplete: bool,
}

/// Decides what the files mean, and which defaults they get that changed; `None` when there is a problem.
pub(super) fn config(files: Files, prove: Prove<'_>, problems: &mut Problems) -> Option<(Config, Vec<ChangedDefault>)> {
    let (mut raw, at) = files.main;
    let process = process::process(&mut raw, &at, PemFiles { folder: &files.folder, prove }, problems);
    let trusted_proxies = process::trusted_proxies(field!(raw.trusted_proxies, at), problems);

    let mut upstream_maps: Vec<Item> = field!(raw.upstreams, at).into_iter().collect();
    let mut route_maps: Vec<Item> = field!(raw.routes, at).into_iter().collect();
    for (mut fragment, at) in files.included {
        upstream_maps.extend(field!(fragment.upstreams, at));
        route_maps.extend(field!(fragment.routes, at));
    }

    let declared = Declared::of(&upstream_maps, files.incomplete, problems);
    let upstreams = upstream::upstreams(&declared, problems);
    let mut routes = Vec::new();
    for item in &route_maps {
        route::routes(item, &declared, &mut routes, problems);
    }
    route::duplicates(&routes, problems);
    links::check(&declared, &upstreams, &routes, problems);
    if declared.is_empty() && route_maps.iter().all(|item| item.entries().is_empty()) && problems.errors.is_empty() {
        let problem = Problem::new(&at.place, "there is nothing to serve: no routes and no upstreams");
        problems
            .add::<()>(problem.help("add `routes: { /: app }` and `upstreams: { app: { servers: \"app:8000\" } }`"));
    }
    if !problems.errors.is_empty() {
        return None;
    }
    let (process, trusted_proxies) = (process?, trusted_proxies?);
    let changed_defaults = news(&upstreams, &routes);
    let whole = |route: route::Placed| {
        let cors = upstreams.get(&route.to).and_then(|upstream| upstream.cors.as_ref());
        route.whole(cors, process.limits.body)
    };
    let routes = routes.into_iter().map(whole).collect();
    let upstreams = upstreams.into_iter().map(|(name, upstream)| (name, Arc::new(upstream.spec))).collect();
    let site = Site::of_hosts(process.listen.len(), routes, upstreams, trusted_proxies);
    Some((Config { process, site }, changed_defaults))
}

/// What differs for these upstreams from the version before.
fn news(upstreams: &BTreeMap<UpstreamName, Written>, routes: &[route::Placed]) -> Vec<ChangedDefault> {
    let routed: BTreeSet<&UpstreamName> = routes.iter().map(|route| &route.to).collect();
    let defaults = upstreams.iter().map(|(name, Written { spec, says, .. })| {
        (name.clone(), DefaultsOf { spec, says: *says, is_routed: routed.contains(name) })
    });
    changed(&defaults.collect(), env!("CARGO_PKG_VERSION"))
}
