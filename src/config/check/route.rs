//! Routes: a map of `"/path"`, `"host"` or `"host/path"`, or a list.

use std::collections::HashMap;

use crate::types::{ByteSize, HostPattern, PathPrefix, UpstreamName};

use super::super::habits::missing_match;
use super::super::model::{AuthSpec, Content, CorsSpec, ErrorFormat, Gate, Proxy, ResponseEdits, Route, UriRule};
use super::super::place::Place;
use super::super::problem::{Problem, Problems};
use super::super::raw::{RawRoute, RawRouteLimits};
use super::super::read::{Form, Item, choice, field, flag, open, text};
use super::super::words::quoted;
use super::auth::auth;
use super::cors::cors;
use super::declared::{Declared, target};
use super::leaf::{required, size};
use super::limits::BODY_MAX;

/// Most routes of a configuration.
const ROUTES_MAX: usize = 10_000;

/// A route as it is written, and where.
pub(super) struct Placed {
    pub place: Place,
    pub host: Option<HostPattern>,
    pub path: PathPrefix,
    pub to: UpstreamName,
    strip: bool,
    cors: Option<CorsSpec>,
    errors: ErrorFormat,
    body_limit: Option<ByteSize>,
    pub auth: Option<AuthSpec>,
}

impl Placed {
    /// The whole route: what it does not say itself is its upstream's, or the process's.
    pub fn whole(self, upstream_cors: Option<&CorsSpec>, usual_body: ByteSize) -> Route {
        let cors = self.cors.or_else(|| upstream_cors.cloned());
        // 0 is no limit.
        let body_limit = Some(self.body_limit.unwrap_or(usual_body)).filter(|limit| limit.0 != 0);
        // A preflight carries no credentials, and what is too large is not worth a question.
        let gates = [cors.as_ref().map(|_| Gate::Cors), body_limit.map(|_| Gate::Body), self.auth.map(Gate::Auth)];
        let strips = self.strip && !self.path.is_root();
        let uri = if strips { UriRule::Strip(self.path.clone()) } else { UriRule::AsSent };
        Route {
            host: self.host,
            path: self.path,
            gates: gates.into_iter().flatten().collect(),
            content: Content::Proxy(Proxy { to: self.to, uri }),
            response: ResponseEdits { cors },
            errors: self.errors,
            body_limit,
        }
    }
}

type Match = (Option<HostPattern>, PathPrefix);

/// The routes of one file, added to those of others.
pub(super) fn routes(item: &Item, declared: &Declared, found: &mut Vec<Placed>, problems: &mut Problems) {
    match item.form() {
        Form::Map => {
            for (key, item) in item.entries() {
                let matched = match_of_key(&key, &item, problems);
                found.extend(route(&item, matched, declared, problems));
            }
        }
        Form::List(items) => {
            for item in items {
                found.extend(listed(&item, declared, problems));
            }
        }
        Form::Text(_) | Form::Nothing => {
            item.wrong_form::<()>("a map such as `/api: backend`, or a list of `{ host, path, to }`", problems);
        }
    }
    if ROUTES_MAX < found.len() {
        found.truncate(ROUTES_MAX);
        let problem = Problem::new(&item.place, format!("there are more than {ROUTES_MAX} routes"));
        problems.add::<()>(problem.help("merge routes that go to the same upstream"));
    }
}

/// Two routes for the same host and path are a problem, whatever files they stand in.
pub(super) fn duplicates(routes: &[Placed], problems: &mut Problems) {
    let mut seen: HashMap<_, &Place> = HashMap::new();
    for route in routes {
        if let Some(first) = seen.get(&(&route.host, &route.path)) {
            let host = route.host.as_ref().map(ToString::to_string).unwrap_or_default();
            let problem = Problem::new(&route.place, format!("a route for `{host}{}` already exists", route.path));
            let help = "remove one of the two; `/api`, `/api/` and `/api/*` mean the same";
            problems.add::<()>(problem.other("first defined", first).help(help));
        } else {
            seen.insert((&route.host, &route.path), &route.place);
        }
    }
}

fn match_of_key(key: &str, item: &Item, problems: &mut Problems) -> Option<Match> {
    let place = item.place.of_key();
    if let Some(missing) = missing_match(key) {
        return problems.add(missing.problem(&place, key));
    }
    if key.contains("://") {
        let problem = Problem::new(&place, format!("{} has a scheme", quoted(key)));
        return problems.add(problem.help("omit the scheme: write `app.example.com/path`"));
    }
    let (host, path) = match key.find('/') {
        Some(start) => key.split_at(start),
        None => (key, "/"),
    };
    let path = PathPrefix::parse(path).map_or_else(|error| problems.tell(&place, &error), Some);
    if host.is_empty() {
        return Some((None, path?));
    }
    let host = host_of(host, &place, problems);
    if !key.contains(['/', '.', ':', '*']) && key != "localhost" && host.is_some() {
        let problem = Problem::new(&place, format!("{} is taken as a host name", quoted(key)));
        problems.warn(problem.help(format!("for a path write `/{key}`")));
    }
    Some((Some(host?), path?))
}

fn host_of(text: &str, place: &Place, problems: &mut Problems) -> Option<HostPattern> {
    match HostPattern::parse(text) {
        Ok(host) => Some(host),
        Err(_) if text == "*" => {
            let problem = Problem::new(place, "`*` is not a host");
            problems.add(problem.help("omit the host to match any host"))
        }
        Err(error) => problems.tell(place, &error),
    }
}

/// A route that is an item of a list and names its own host and path.
fn listed(item: &Item, declared: &Declared, problems: &mut Problems) -> Option<Placed> {
    const FORM: &str = "`{ path: /api, to: backend }`";
    let mut raw: RawRoute = open(item, FORM, problems)?;
    let (host, path) = (field!(raw.host, item), field!(raw.path, item));
    let matched = if host.is_none() && path.is_none() {
        problems
            .add(Problem::new(&item.place, "this route has neither `host` nor `path`").help(format!("write {FORM}")))
    } else {
        let host = match host {
            Some(host) => text(&host, problems).and_then(|text| host_of(&text, &host.place, problems)).map(Some),
            None => Some(None),
        };
        let path = match path {
            Some(path) => super::leaf::parsed(&path, PathPrefix::parse, problems),
            None => PathPrefix::parse("/").ok(),
        };
        host.zip(path)
    };
    long(raw, item, matched, declared, problems)
}

fn route(item: &Item, matched: Option<Match>, declared: &Declared, problems: &mut Problems) -> Option<Placed> {
    match item.form() {
        Form::Text(_) => {
            let (host, path) = (target(item, declared, problems), matched);
            let (to, (host, path)) = host.zip(path)?;
            Some(Placed {
                place: item.place.of_key(),
                host,
                path,
                to,
                strip: false,
                cors: None,
                errors: ErrorFormat::Auto,
                body_limit: None,
                auth: None,
            })
        }
        Form::Nothing if item.is_empty() => {
            let problem = Problem::new(&item.place, format!("the route {} has no upstream", quoted(item.place.name())));
            problems.add(problem.help("write an upstream's name after it"))
        }
        Form::Map | Form::List(_) | Form::Nothing => {
            let mut raw: RawRoute = open(item, "the name of an upstream, or `{ to: backend, strip: true }`", problems)?;
            for extra in [field!(raw.host, item), field!(raw.path, item)].into_iter().flatten() {
                let message = format!(
                    "{} cannot be used here: the route's key already gives its host and path",
                    quoted(extra.place.name())
                );
                let help = "write both in the key, `app.example.com/api:`, or make `routes` a list";
                problems.add::<()>(Problem::new(&extra.place.of_key(), message).help(help));
            }
            long(raw, item, matched, declared, problems)
        }
    }
}

fn long(
    mut raw: RawRoute,
    item: &Item,
    matched: Option<Match>,
    declared: &Declared,
    problems: &mut Problems,
) -> Option<Placed> {
    let to = required(field!(raw.to, item), "to", item, "`to:` and the name of an upstream", problems);
    let to = to.and_then(|to| target(&to, declared, problems));
    let strip = flag(field!(raw.strip, item), false, problems);
    let cors = match field!(raw.cors, item) {
        Some(item) => cors(&item, problems).map(Some),
        None => Some(None),
    };
    let errors = match field!(raw.errors, item) {
        Some(item) => {
            let words = [("auto", ErrorFormat::Auto), ("json", ErrorFormat::Json), ("html", ErrorFormat::Html)];
            choice(&item, &words, problems)
        }
        None => Some(ErrorFormat::Auto),
    };
    let body_limit = match field!(raw.limits, item) {
        Some(limits) => body_limit(&limits, problems),
        None => Some(None),
    };
    let auth = match field!(raw.auth, item) {
        Some(item) => auth(&item, declared, problems).map(Some),
        None => Some(None),
    };
    let (host, path) = matched?;
    Some(Placed {
        place: item.place.of_key(),
        host,
        path,
        to: to?,
        strip: strip?,
        cors: cors?,
        errors: errors?,
        body_limit: body_limit?,
        auth: auth?,
    })
}

fn body_limit(item: &Item, problems: &mut Problems) -> Option<Option<ByteSize>> {
    let mut raw: RawRouteLimits = open(item, "`{ body: 10MiB }`", problems)?;
    match field!(raw.body, item) {
        Some(body) => size(Some(body), BODY_MAX, BODY_MAX, problems).map(Some),
        None => Some(None),
    }
}
