//! Which types are declared more than once: one name stands for one thing. Knows nothing of aliases.

use std::collections::{BTreeMap, BTreeSet};

/// The name of a type → the files that declare it. `texts` are files with their code.
pub fn types<'a>(texts: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    for (file, code) in texts {
        for name in code.lines().filter_map(declared) {
            found.entry(name.to_owned()).or_default().insert(file.to_owned());
        }
    }
    found
}

/// The type that a line declares.
fn declared(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let bare = match line.strip_prefix("pub") {
        Some(scoped) if scoped.starts_with('(') => scoped.split_once(") ")?.1,
        Some(public) => public.trim_start(),
        None => line,
    };
    let rest = ["struct ", "enum ", "trait "].iter().find_map(|kind| bare.strip_prefix(kind))?;
    rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()
}

#[test]
fn declarations_are_found() {
    let rows = [
        ("pub(super) struct Waits(AtomicU64);", Some("Waits")),
        ("pub enum Next<'a> {", Some("Next")),
        ("    trait Resolve: Send {", Some("Resolve")),
        ("struct Place;", Some("Place")),
        ("pub type Tried = Vec<SocketAddr>;", None),
        ("let structure = 1;", None),
    ];
    for (line, name) in rows {
        assert_eq!(declared(line), name, "{line}");
    }
    let files = [("a.rs", "struct One;\nenum Two {}"), ("b.rs", "pub struct One;")];
    let found = types(files.into_iter());
    assert_eq!((found["One"].len(), found["Two"].len()), (2, 1));
}
