//! CORS: origins, and what pages from there may do. `*` with credentials is refused, as browsers refuse it.

use std::time::Duration;

use http::{HeaderName, Method};

use crate::types::Origin;

use super::super::model::{CorsSpec, Origins};
use super::super::place::Place;
use super::super::problem::{Problem, Problems};
use super::super::raw::RawCors;
use super::super::read::{Form, Item, field, flag, one_or_many, open, text};
use super::super::words::quoted;
use super::leaf::{HOUR, all, duration, required};

const FORMS: &str =
    "an origin such as `https://app.example.com`, `\"*\"`, a list of origins, or `{ origins: […], credentials: true }`";

/// CORS in any of its forms.
pub(super) fn cors(item: &Item, problems: &mut Problems) -> Option<CorsSpec> {
    match item.form() {
        Form::Text(_) | Form::List(_) => {
            let origins = origins(item, None, problems)?;
            Some(CorsSpec { origins, methods: methods(), headers: None, expose: Vec::new(), max_age: MAX_AGE })
        }
        Form::Map => long(item, problems),
        Form::Nothing => item.wrong_form(FORMS, problems),
    }
}

const MAX_AGE: Duration = Duration::from_secs(600);

fn methods() -> Vec<Method> {
    vec![Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE]
}

fn long(item: &Item, problems: &mut Problems) -> Option<CorsSpec> {
    let mut raw: RawCors = open(item, FORMS, problems)?;
    let credentials_item = field!(raw.credentials, item);
    let credentials_place = credentials_item.as_ref().map(|item| item.place.clone());
    let credentials = flag(credentials_item, false, problems);
    let allowed = credentials_place.filter(|_| credentials == Some(true));
    let listed =
        required(field!(raw.origins, item), "origins", item, "`origins: [\"https://app.example.com\"]`", problems);
    let origins = listed.and_then(|listed| origins(&listed, allowed.as_ref(), problems));
    let methods = match field!(raw.methods, item) {
        Some(listed) => all(one_or_many(&listed).iter().map(|item| method(item, problems)).collect()),
        None => Some(methods()),
    };
    let headers = match field!(raw.headers, item) {
        Some(listed) if matches!(listed.form(), Form::Text(text) if text == "*") => Some(None),
        Some(listed) => header_names(&listed, problems).map(Some),
        None => Some(None),
    };
    let expose = match field!(raw.expose, item) {
        Some(listed) => header_names(&listed, problems),
        None => Some(Vec::new()),
    };
    let max_age = duration(field!(raw.max_age, item), 0..=24 * HOUR, MAX_AGE, problems);
    Some(CorsSpec { origins: origins?, methods: methods?, headers: headers?, expose: expose?, max_age: max_age? })
}

/// `credentials` is the place where they are allowed.
fn origins(item: &Item, credentials: Option<&Place>, problems: &mut Problems) -> Option<Origins> {
    let items = one_or_many(item);
    if items.is_empty() {
        let problem = Problem::new(&item.place, format!("{} lists no origin", quoted(item.place.name())));
        return problems.add(problem.help("list the origins that may read responses, or remove `cors`"));
    }
    let any = items.iter().find(|item| matches!(item.form(), Form::Text(text) if text == "*"));
    if let Some(any) = any {
        return wildcard(any, items.len(), credentials, problems);
    }
    let mut listed: Vec<Origin> = all(items.iter().map(|item| origin(item, problems)).collect())?;
    let mut seen = std::collections::HashSet::new();
    listed.retain(|origin| seen.insert(origin.clone()));
    Some(Origins::Listed { origins: listed, credentials: credentials.is_some() })
}

fn wildcard(any: &Item, count: usize, credentials: Option<&Place>, problems: &mut Problems) -> Option<Origins> {
    if let Some(place) = credentials {
        let problem = Problem::new(place, "`credentials` cannot be combined with the origin `*`: browsers refuse it");
        return problems.add(problem.help("list the origins that need credentials, or remove `credentials`"));
    }
    if count == 1 {
        return Some(Origins::Any);
    }
    let problem = Problem::new(&any.place, "`*` already allows every origin, but others are listed too");
    problems.add(problem.help("keep only `*`, or remove it"))
}

fn origin(item: &Item, problems: &mut Problems) -> Option<Origin> {
    let text = text(item, problems)?;
    Origin::parse(&text).map_or_else(
        |_| {
            let problem = Problem::new(&item.place, format!("{} is not an origin", quoted(&text)));
            problems.add(problem.help(origin_help(&text)))
        },
        Some,
    )
}

fn origin_help(text: &str) -> String {
    let usual = "write a scheme and a host, such as `https://app.example.com`";
    if text.contains('*') {
        return "wildcards inside an origin are not supported; list each origin, or write `\"*\"`".into();
    }
    if matches!(text, "off" | "false" | "no" | "none") {
        return "to disable CORS, remove the key".into();
    }
    if matches!(text, "on" | "true" | "yes" | "any" | "all") {
        return "write the origin that may read responses: `https://app.example.com`, or `\"*\"` for any".into();
    }
    if text == "null" {
        return "sandboxed pages send `null`, so it identifies no site; list the real origins".into();
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return match Origin::parse(&format!("https://{text}")) {
            Ok(meant) => format!("write `{meant}`"),
            Err(_) => usual.into(),
        };
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match Origin::parse(&format!("{scheme}://{host}")) {
        Ok(meant) => format!("an origin has no path; write `{meant}`"),
        Err(_) => usual.into(),
    }
}

fn method(item: &Item, problems: &mut Problems) -> Option<Method> {
    let text = text(item, problems)?;
    let upper = text.to_ascii_uppercase();
    let known = methods().iter().any(|method| method.as_str() == upper) || upper == "OPTIONS";
    match Method::from_bytes(text.as_bytes()) {
        // Methods are case-sensitive: `get` is another method than `GET`.
        Ok(method) if text == upper || !known => Some(method),
        Ok(_) => problems.add(
            Problem::new(&item.place, format!("{} is not a method", quoted(&text))).help(format!("write `{upper}`")),
        ),
        Err(_) => {
            let problem = Problem::new(&item.place, format!("{} is not a method", quoted(&text)));
            problems.add(problem.help("write methods such as `GET` and `POST`"))
        }
    }
}

fn header_names(listed: &Item, problems: &mut Problems) -> Option<Vec<HeaderName>> {
    let name = |item: &Item| {
        let text = text(item, problems)?;
        match HeaderName::from_bytes(text.as_bytes()) {
            Ok(name) if text != "*" => Some(name),
            Ok(_) | Err(_) => {
                let problem = Problem::new(&item.place, format!("{} is not a header name", quoted(&text)));
                problems.add(problem.help("write names such as `Content-Type`"))
            }
        }
    };
    all(one_or_many(listed).iter().map(name).collect())
}
