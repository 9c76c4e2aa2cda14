//! Forward authentication: whom to ask, for what, and which headers of the answer say who a client is.

use std::collections::HashSet;
use std::time::Duration;

use http::uri::PathAndQuery;

use crate::types::IdentityField;

use super::super::model::AuthSpec;
use super::super::problem::{Problem, Problems};
use super::super::raw::RawAuth;
use super::super::read::{Form, Item, field, one_or_many, open, text};
use super::super::words::quoted;
use super::declared::{Declared, target};
use super::leaf::{MINUTE, MS, all, duration, parsed, required};
use super::probe::request_target;

const FORM: &str = "`{ to: users, path: /verify, pass: [X-User-Id] }`";
const TIMEOUT: Duration = Duration::from_secs(5);

/// Whom a route asks.
pub(super) fn auth(item: &Item, declared: &Declared, problems: &mut Problems) -> Option<AuthSpec> {
    if let Form::Text(word) = item.form()
        && matches!(word.as_str(), "off" | "false" | "no" | "none")
    {
        let problem = Problem::new(&item.place, format!("`auth` is {}", quoted(&word)));
        return problems.add(problem.help("to allow every request, remove the key"));
    }
    let mut raw: RawAuth = open(item, FORM, problems)?;
    let to = required(field!(raw.to, item), "to", item, "`to:` and the name of the auth upstream", problems);
    let to = to.and_then(|to| target(&to, declared, problems));
    let example = "`path:` and the path to request, such as `/verify`";
    let path = required(field!(raw.path, item), "path", item, example, problems);
    let path = path.and_then(|path| asked_for(&path, problems));
    let pass = match field!(raw.pass, item) {
        Some(listed) => passed(&listed, problems),
        None => Some(Vec::new()),
    };
    let timeout = duration(field!(raw.timeout, item), 10 * MS..=MINUTE, TIMEOUT, problems);
    Some(AuthSpec { to: to?, path: path?, pass: pass?, timeout: timeout? })
}

fn asked_for(item: &Item, problems: &mut Problems) -> Option<PathAndQuery> {
    let text = text(item, problems)?;
    if let Some((_, rest)) = text.split_once("://") {
        let path = rest.find('/').and_then(|start| rest.get(start..)).unwrap_or("/");
        let problem = Problem::new(&item.place, format!("{} is a URL, not a path", quoted(&text)));
        return problems.add(problem.help(format!("write only the path, `{path}`; `to` names the upstream")));
    }
    let path = request_target(item, &text, problems)?;
    PathAndQuery::try_from(path).map_or_else(|error| problems.tell(&item.place, &error), Some)
}

fn passed(listed: &Item, problems: &mut Problems) -> Option<Vec<IdentityField>> {
    let names = one_or_many(listed).iter().map(|item| parsed(item, IdentityField::parse, problems)).collect();
    let mut names = all(names)?;
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Some(names)
}
