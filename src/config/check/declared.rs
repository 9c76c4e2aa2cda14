//! The names of upstreams that are written down, and whether one of them is meant where a name is written.

use std::collections::BTreeMap;

use crate::types::UpstreamName;

use super::super::habits::missing_target;
use super::super::place::Place;
use super::super::problem::{Problem, Problems};
use super::super::read::{Form, Item, text};
use super::super::words::{listed, nearest, quoted};

/// Most upstreams of a configuration.
const UPSTREAMS_MAX: usize = 1_000;

/// Every upstream that is written down, read or not: a mistake inside one must not make its name unknown.
pub(super) struct Declared {
    items: BTreeMap<String, Item>,
    /// True when a file that may define more could not be read.
    pub incomplete: bool,
}

impl Declared {
    /// Gathers the names of every file's map.
    pub(super) fn of(maps: &[Item], incomplete: bool, problems: &mut Problems) -> Self {
        let mut items: BTreeMap<String, Item> = BTreeMap::new();
        for map in maps {
            if !matches!(map.form(), Form::Map) {
                map.wrong_form::<()>("a map such as `backend: { servers: \"backend:8000\" }`", problems);
            }
            for (name, item) in map.entries() {
                if let Some(first) = items.get(&name) {
                    let problem =
                        Problem::new(&item.place.of_key(), format!("the upstream {} is defined twice", quoted(&name)));
                    let problem = problem.other("first defined", &first.place.of_key());
                    problems.add::<()>(problem.help("give one of the two another name, or remove it"));
                    continue;
                }
                if items.len() == UPSTREAMS_MAX {
                    let problem =
                        Problem::new(&item.place.of_key(), format!("there are more than {UPSTREAMS_MAX} upstreams"));
                    problems.add::<()>(problem.help("serve them from several instances of Remora"));
                    return Self { items, incomplete };
                }
                items.insert(name, item);
            }
        }
        Self { items, incomplete }
    }

    /// Every one, by name.
    pub(super) fn items(&self) -> &BTreeMap<String, Item> {
        &self.items
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.items.contains_key(name)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The place of a name.
    pub(super) fn place(&self, name: &str) -> Option<Place> {
        self.items.get(name).map(|item| item.place.of_key())
    }

    /// The nearest name and its place.
    pub(super) fn nearest(&self, name: &str) -> Option<(&str, &Place)> {
        let near = nearest(name, self.items.keys().map(String::as_str))?;
        self.items.get(near).map(|item| (near, &item.place))
    }

    /// What could have been meant, for a help line.
    pub(super) fn known(&self) -> String {
        const SHOWN: usize = 10;
        match self.items.len() {
            0 => "define it under `upstreams:`".into(),
            count if count <= SHOWN => format!("write {}", listed(self.items.keys().map(String::as_str))),
            count => format!("define it under `upstreams:`, which has {count} others"),
        }
    }
}

/// The upstream that a route or a need names.
pub(super) fn target(item: &Item, declared: &Declared, problems: &mut Problems) -> Option<UpstreamName> {
    let text = text(item, problems)?;
    if declared.contains(&text) {
        // A name that is declared but no name at all is a problem where it is declared.
        return UpstreamName::parse(&text).ok();
    }
    if declared.incomplete {
        return None;
    }
    if let Some(missing) = missing_target(&text) {
        return problems.add(missing.problem(&item.place, &text));
    }
    let problem = Problem::new(&item.place, format!("no upstream is named {}", quoted(&text)));
    problems.add(match declared.nearest(&text) {
        Some((near, place)) => {
            let problem = problem.help(format!("did you mean `{near}`?"));
            if place.file == item.place.file { problem } else { problem.other(format!("`{near}` is defined"), place) }
        }
        None if text.contains([':', '/']) => {
            problem.help("define it under `upstreams:` with `servers:`, and name it here")
        }
        None => problem.help(declared.known()),
    })
}
