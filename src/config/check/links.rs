//! What only shows when everything is read: circles of `needs`, upstreams that nothing uses, databases that nobody needs.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::UpstreamName;

use super::super::model::{CheckKind, UpstreamSpec};
use super::super::problem::{Problem, Problems};
use super::declared::Declared;
use super::route::Placed;
use super::upstream::Written;

/// Records every circle of `needs`, and warns of upstreams without use.
pub(super) fn check(
    declared: &Declared,
    upstreams: &BTreeMap<UpstreamName, Written>,
    routes: &[Placed],
    problems: &mut Problems,
) {
    circles(declared, upstreams, problems);
    let asked = routes.iter().filter_map(|route| Some(&route.auth.as_ref()?.to));
    let routed: BTreeSet<&UpstreamName> = routes.iter().map(|route| &route.to).chain(asked).collect();
    let needed: BTreeSet<&UpstreamName> = upstreams.values().flat_map(|written| &written.spec.needs).collect();
    for (name, Written { spec, .. }) in upstreams {
        let watched = spec.check.is_some() || needed.contains(name);
        if let Some(place) = declared.place(name.as_str()).filter(|_| !watched && !routed.contains(name)) {
            let problem =
                Problem::new(&place, format!("the upstream `{name}` has no route and no check, so it does nothing"));
            problems.warn(problem.help("add a route to it, or remove it"));
        }
    }
    let healed = |name: &&UpstreamName| {
        let written = upstreams.get(*name);
        routed.contains(*name) && written.is_some_and(|written| written.spec.heal.is_some())
    };
    let Some(dependent) = upstreams.keys().find(healed) else { return };
    for (name, written) in upstreams {
        let is_apart = !routed.contains(name) && !needed.contains(name);
        if is_apart
            && is_database(&written.spec)
            && let Some(place) = declared.place(name.as_str())
        {
            let problem =
                Problem::new(&place, format!("`{name}` looks like a database, and no upstream says that it needs it"));
            problems.warn(problem.help(format!(
                "add `needs: [{name}]` to each upstream that uses it, such as `{dependent}`, so that it is not healed while \
                 `{name}` is the cause"
            )));
        }
    }
}

/// Ports on which databases and the like listen unless told otherwise: PostgreSQL, MySQL, Redis, MongoDB, SQL Server,
/// Oracle, Cassandra, Elasticsearch, memcached, RabbitMQ.
const DATABASE_PORTS: [u16; 10] = [5432, 3306, 6379, 27017, 1433, 1521, 9042, 9200, 11211, 5672];

/// True where the check or the port is a database's.
fn is_database(spec: &UpstreamSpec) -> bool {
    matches!(spec.check.as_ref().map(|check| &check.kind), Some(CheckKind::Greeting(_)))
        || spec.servers.iter().any(|server| DATABASE_PORTS.contains(&server.address.port()))
}

/// Follows `needs` from each upstream; a circle is told once, at its first name in the alphabet.
fn circles(declared: &Declared, upstreams: &BTreeMap<UpstreamName, Written>, problems: &mut Problems) {
    let mut done: BTreeSet<&UpstreamName> = BTreeSet::new();
    for start in upstreams.keys() {
        // The way down to here, and the needs of each that are still to be followed.
        let mut way: Vec<(&UpstreamName, std::slice::Iter<'_, UpstreamName>)> = Vec::new();
        let mut next = Some(start);
        loop {
            if let Some(name) = next.take() {
                if let Some(from) = way.iter().position(|(passed, _)| *passed == name) {
                    let circle: Vec<&UpstreamName> = way.iter().skip(from).map(|(passed, _)| *passed).collect();
                    tell(&circle, declared, problems);
                } else if let Some((name, written)) = upstreams.get_key_value(name)
                    && !done.contains(name)
                {
                    way.push((name, written.spec.needs.iter()));
                }
            }
            let Some((name, needs)) = way.last_mut() else { break };
            next = needs.next();
            if next.is_none() {
                done.insert(name);
                way.pop();
            }
        }
    }
}

fn tell(circle: &[&UpstreamName], declared: &Declared, problems: &mut Problems) {
    let Some(first) = circle.first() else { return };
    let shown: Vec<String> = circle.iter().chain([first]).map(|name| format!("`{name}`")).collect();
    let place = declared.place(first.as_str()).map(|place| place.key("needs"));
    if let Some(place) = place {
        let problem = Problem::new(&place.of_key(), format!("circular `needs`: {}", shown.join(" → ")));
        problems.add::<()>(
            problem.help("remove one entry from a `needs`: healing starts with the upstream that needs nothing"),
        );
    }
}
