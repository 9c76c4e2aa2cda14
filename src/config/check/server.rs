//! The servers of an upstream: one, a list, or a list of maps with weights and backups.

use std::collections::HashMap;

use crate::types::{ServerAddress, Weight};

use super::super::habits::missing_server;
use super::super::model::ServerSpec;
use super::super::problem::{Problem, Problems};
use super::super::raw::RawServer;
use super::super::read::{Form, Item, field, flag, one_or_many, open};
use super::super::words::quoted;
use super::leaf::{all, number, required};

/// Most servers of one upstream.
const SERVERS_MAX: usize = 1_000;
const FORMS: &str = "`backend:8000`, a list of servers, or a list of `{ address: backend:8000, weight: 2 }`";

/// One server or several.
pub(super) fn servers(item: &Item, problems: &mut Problems) -> Option<Vec<ServerSpec>> {
    if matches!(item.form(), Form::Map) {
        let problem = Problem::new(&item.place.of_key(), format!("{} is a map", quoted(item.place.name())));
        return problems.add(problem.help("write a list: `servers: [{ address: backend:8000, weight: 2 }]`"));
    }
    let items = one_or_many(item);
    if items.is_empty() {
        return problems.add(Problem::new(&item.place, "`servers` is an empty list").help(format!("write {FORMS}")));
    }
    if SERVERS_MAX < items.len() {
        let problem = Problem::new(&item.place, format!("there are more than {SERVERS_MAX} servers in one upstream"));
        return problems.add(problem.help("a single name may resolve to many addresses"));
    }
    let found: Vec<_> = items.iter().map(|item| server(item, problems)).collect();
    duplicates(&items, &found, problems);
    let found = all(found)?;
    if found.iter().all(|server| server.backup) {
        let problem = Problem::new(&item.place, "every server is a backup");
        return problems.add(problem.help("leave at least one without `backup: true`"));
    }
    Some(found)
}

fn duplicates(items: &[Item], found: &[Option<ServerSpec>], problems: &mut Problems) {
    let mut seen = HashMap::new();
    for (item, server) in items.iter().zip(found) {
        let Some(server) = server else { continue };
        if let Some(first) = seen.insert(&server.address, &item.place) {
            let problem = Problem::new(&item.place, format!("the server `{}` is listed twice", server.address));
            problems.add::<()>(
                problem
                    .other("first listed", first)
                    .help("remove one; for a larger share of requests, set its `weight`"),
            );
        }
    }
}

fn server(item: &Item, problems: &mut Problems) -> Option<ServerSpec> {
    match item.form() {
        Form::Text(text) => {
            let address = address(item, &text, problems)?;
            Some(ServerSpec { address, weight: Weight::ONE, backup: false })
        }
        Form::Map => long(item, problems),
        Form::List(_) | Form::Nothing => item.wrong_form(FORMS, problems),
    }
}

fn long(item: &Item, problems: &mut Problems) -> Option<ServerSpec> {
    let mut raw: RawServer = open(item, FORMS, problems)?;
    let written = required(field!(raw.address, item), "address", item, "`address: backend:8000`", problems);
    let address = written.and_then(|written| match written.form() {
        Form::Text(text) => address(&written, &text, problems),
        Form::List(_) | Form::Map | Form::Nothing => written.wrong_form("one address such as `backend:8000`", problems),
    });
    let weight = number(field!(raw.weight, item), 1..=1000, 1, problems).and_then(Weight::new);
    let backup = flag(field!(raw.backup, item), false, problems);
    Some(ServerSpec { address: address?, weight: weight?, backup: backup? })
}

fn address(item: &Item, text: &str, problems: &mut Problems) -> Option<ServerAddress> {
    ServerAddress::parse(text).map_or_else(
        |error| {
            let several: Vec<&str> = text.split([',', ' ']).map(str::trim).filter(|part| !part.is_empty()).collect();
            if 1 < several.len() {
                let problem = Problem::new(&item.place, format!("{} is several servers in one string", quoted(text)));
                return problems.add(problem.help(format!("write a list: `[{}]`", several.join(", "))));
            }
            if let Some(missing) = missing_server(text) {
                return problems.add(missing.problem(&item.place, text));
            }
            if let Some(help) = without_url(text) {
                let problem = Problem::new(&item.place, format!("{} is a URL, not `host:port`", quoted(text)));
                return problems.add(problem.help(help));
            }
            problems.tell(&item.place, &error)
        },
        Some,
    )
}

/// What to write instead of a URL: the address that it names, where its port is known.
fn without_url(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
    let usual = match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => Some(80),
        "mysql" | "mariadb" => Some(3306),
        "postgres" | "postgresql" => Some(5432),
        "redis" => Some(6379),
        _ => None,
    };
    let with_usual = || ServerAddress::parse(&format!("{authority}:{}", usual?)).ok();
    let meant = ServerAddress::parse(authority).ok().or_else(with_usual)?;
    Some(match path {
        path if path.len() < 2 || usual != Some(80) => format!("write `{meant}`"),
        _ => format!("write `{meant}`; requests keep their path, or lose their route's by `strip: true` in the route"),
    })
}
