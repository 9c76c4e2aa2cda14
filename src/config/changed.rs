//! Defaults that this version changed, as far as a file gets them: what it says itself is not told.

use std::collections::BTreeMap;

use crate::types::UpstreamName;

use super::model::{CheckKind, UpstreamSpec};

/// A default that changed, by a name that stays, and the minor version that changed it.
type Change = (&'static str, &'static str);

const HOLD: Change = ("hold", "0.1");
const BUDGET: Change = ("budget", "0.1");
const SHARED_CAUSE: Change = ("shared cause", "0.1");
const PROVEN: Change = ("proven", "0.1");
const DATABASE: Change = ("database", "0.1");
const ALL: [Change; 5] = [HOLD, BUDGET, SHARED_CAUSE, PROVEN, DATABASE];
/// Upstreams named before the rest is only counted.
const NAMED_MOST: usize = 3;

/// A default that changed and that a file gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedDefault {
    /// Its name and version, by which it is told once.
    pub key: String,
    /// One line: what, for whom, and what restores the old behaviour.
    pub text: String,
}

/// What an upstream's map says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SaysItself {
    pub hold: bool,
    pub needs: bool,
    pub budget: bool,
}

/// An upstream, and whether a route leads to it.
pub(super) struct DefaultsOf<'u> {
    pub spec: &'u UpstreamSpec,
    pub says: SaysItself,
    pub is_routed: bool,
}

/// The names of all defaults that changed in the minor version of `version`.
pub fn changed_defaults(version: &str) -> impl Iterator<Item = String> {
    ALL.into_iter().filter(move |change| is_news(change, version)).map(key)
}

/// What of it a file gets, one line a default. With the next minor version it is no news any more.
pub(super) fn changed(upstreams: &BTreeMap<UpstreamName, DefaultsOf<'_>>, version: &str) -> Vec<ChangedDefault> {
    let names = |is_it: &dyn Fn(&DefaultsOf<'_>) -> bool| -> Vec<&str> {
        upstreams.iter().filter(|(_, of)| is_it(of)).map(|(name, _)| name.as_str()).collect()
    };
    let is_healed = |of: &DefaultsOf<'_>| of.spec.heal.is_some();
    let asks_database =
        |of: &DefaultsOf<'_>| matches!(of.spec.check.as_ref().map(|check| &check.kind), Some(CheckKind::Greeting(_)));
    let rows = [
        (
            HOLD,
            names(&|of| of.is_routed && !of.says.hold),
            "requests wait up to 10s while no replica is up (as before: `hold: 0`)",
        ),
        (
            BUDGET,
            names(&|of| is_healed(of) && !of.says.budget),
            "after 3 heals in 10m the next comes when that frees a place (hardly ever: `budget: 3/24h`)",
        ),
        (
            SHARED_CAUSE,
            names(&|of| is_healed(of) && !of.says.needs && 1 < upstreams.len()),
            "healed after what fails at the same moment (`needs` says which that is)",
        ),
        (
            PROVEN,
            names(&|of| is_healed(of)),
            "healed only once its check has passed on this port (at once: `remora heal`)",
        ),
        (
            DATABASE,
            names(&|of| asks_database(of)),
            "down while it starts up, not healed while it is full (as before: `check: tcp`)",
        ),
    ];
    let told = rows.into_iter().filter(|(change, names, _)| is_news(change, version) && !names.is_empty());
    told.map(|(change, names, text)| ChangedDefault { key: key(change), text: format!("{}: {text}", listed(&names)) })
        .collect()
}

fn key((name, since): Change) -> String {
    format!("{name} ({since})")
}

/// True for the same major and minor number.
fn is_news((_, since): &Change, version: &str) -> bool {
    version.strip_prefix(since).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn listed(names: &[&str]) -> String {
    match names.len().saturating_sub(NAMED_MOST) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names[..NAMED_MOST].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LoadedFiles, load_text};

    fn loaded(upstreams: &str) -> LoadedFiles {
        let text = format!("routes: {{ /: api }}\nupstreams:\n{upstreams}");
        load_text("remora.yaml".as_ref(), text, &|_| None).unwrap()
    }

    /// The names of what a file is told, and for which upstreams.
    fn told(upstreams: &str) -> Vec<(String, String)> {
        let row = |of: &ChangedDefault| {
            (of.key.split(" (").next().unwrap().to_owned(), of.text.split(':').next().unwrap().to_owned())
        };
        loaded(upstreams).changed_defaults.iter().map(row).collect()
    }

    #[test]
    fn a_file_is_told_only_what_it_gets_and_does_not_say_itself() {
        type Row = (&'static str, &'static [(&'static str, &'static str)]);
        #[rustfmt::skip]
        let rows: [Row; 7] = [
            ("  api: api:80\n",                                     &[("hold", "api")]),
            ("  api: { servers: api:80, hold: 10s }\n",             &[]),
            ("  api: { servers: api:80, hold: 0 }\n  db: db:80\n",  &[]),
            (
                "  api: { servers: api:80, hold: 0, check: /, heal: gunicorn }\n",
                &[("budget", "api"), ("proven", "api")],
            ),
            (
                "  api: { servers: api:80, hold: 0, check: /, heal: { steps: gunicorn, budget: 3/10m } }\n  db: db:80\n",
                &[("shared cause", "api"), ("proven", "api")],
            ),
            (
                "  api: { servers: api:80, hold: 0, check: /, needs: db, heal: { steps: gunicorn, budget: 3/10m } }\n  db: db:80\n",
                &[("proven", "api")],
            ),
            (
                "  api: { servers: api:80, hold: 0 }\n  db: { servers: \"db:3306\", check: mysql }\n",
                &[("database", "db")],
            ),
        ];
        for (upstreams, expected) in rows {
            let expected: Vec<_> =
                expected.iter().map(|(key, names)| ((*key).to_owned(), (*names).to_owned())).collect();
            assert_eq!(told(upstreams), expected, "{upstreams}");
        }
    }

    #[test]
    fn many_names_are_counted_and_a_merged_key_counts_as_written() {
        let many: String = ["b", "c", "d", "e"]
            .map(|name| format!("  {name}: {{ servers: x:80, check: /, heal: pm2 reload x }}\n"))
            .concat();
        let text = told(&format!("  api: {{ <<: {{ hold: 0 }}, servers: api:80 }}\n{many}"));
        assert_eq!(text[0], ("budget".to_owned(), "b, c, d and 1 more".to_owned()));
    }

    #[test]
    fn the_next_minor_version_has_no_news_of_this_one() {
        assert_eq!(changed_defaults("0.1.7").count(), ALL.len());
        assert_eq!(changed_defaults("0.2.0").count() + changed_defaults("0.10.0").count(), 0);
        let own = changed_defaults(env!("CARGO_PKG_VERSION")).count();
        assert_eq!(own, ALL.iter().filter(|change| is_news(change, env!("CARGO_PKG_VERSION"))).count());
    }
}
