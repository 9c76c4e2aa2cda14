//! Keeps the house: imports go down, modules say what they are for, files stay small.

#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a test fails by panicking, prints its figures and may spawn"
)]

#[path = "house/circles.rs"]
mod circles;
#[path = "house/names.rs"]
mod names;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use circles::{Edges, Files, circles};

/// Folders and files of `src/` by layer, lowest first. Within a layer nothing imports its neighbour, but for `PAIRS`.
const LAYERS: [&[&str]; 8] = [
    &["types", "http1"],
    &["config"],
    &["telemetry"],
    &["routing", "filter", "upstream", "content", "docker", "certificate_reader"],
    &["snapshot"],
    &["plan"],
    &["front", "relay", "proxy", "reload", "heal", "sidecar", "admin", "demo"],
    &["server", "cli", "main.rs", "lib.rs"],
];
/// Imports between neighbours that `ARCHITECTURE.md` allows.
const PAIRS: [(&str, &str); 8] = [
    ("cli", "server"),
    ("main.rs", "cli"),
    ("admin", "reload"),
    ("admin", "heal"),
    ("front", "proxy"),
    ("front", "relay"),
    ("main.rs", "server"),
    ("sidecar", "heal"),
];
/// Words that may be named in these folders only.
const OWNED: [(&str, &str); 7] = [
    ("bollard", "docker"),
    ("serde_yaml", "config"),
    ("saphyr_parser", "config"),
    ("pingora_load_balancing", "upstream"),
    ("hickory_resolver", "upstream"),
    ("rustls", "front, relay"),
    ("x509_parser", "front"),
];
/// Files that may import each other in a circle, and why.
const CIRCLES: &[(&[&str], &str)] = &[(
    &["config/raw/mod.rs", "config/raw/upstream.rs", "config/schema/form.rs"],
    "schemars asks a type for its schema, and the schema names the types",
)];
/// Lines of a file before its tests.
const LINES_MAX: usize = 420;

fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(40 < found.len(), "only {} sources found", found.len());
    found
}

/// The part of `src/` a file belongs to: its folder, or itself.
fn room(path: &Path) -> String {
    let inside = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    inside.components().next().unwrap().as_os_str().to_str().unwrap().to_owned()
}

fn layer(room: &str) -> usize {
    LAYERS.iter().position(|rooms| rooms.contains(&room)).unwrap_or_else(|| panic!("`{room}` stands in no layer"))
}

/// The code before the unit tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned()
}

#[test]
fn imports_go_down() {
    let mut imports = 0;
    for path in sources() {
        let from = room(&path);
        for (_, rest) in
            code(&path).match_indices("crate::").map(|(at, word)| (at, at + word.len())).collect::<Vec<_>>()
        {
            let code = code(&path);
            let to: String = code[rest..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if to == from || !LAYERS.iter().any(|rooms| rooms.contains(&to.as_str())) {
                continue;
            }
            imports += 1;
            let down = layer(&to) < layer(&from);
            let allowed = PAIRS.contains(&(from.as_str(), to.as_str()));
            assert!(down || allowed, "{} imports `{to}`, which is not below `{from}`", path.display());
        }
    }
    assert!(50 < imports, "only {imports} imports found");
}

#[test]
fn files_import_in_no_circle() {
    let files = Files::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"));
    let edges = files.edges();
    let imports: usize = edges.values().map(|imported| imported.len()).sum();
    assert!(200 < files.count(), "only {} files found", files.count());
    assert!(600 < imports, "only {imports} imports found");
    let found = circles(&edges);
    let covers = |files: &[&str], circle: &BTreeSet<String>| circle.iter().all(|file| files.contains(&file.as_str()));
    for circle in &found {
        let allowed = CIRCLES.iter().any(|(files, _)| covers(files, circle));
        assert!(allowed, "{} files import each other: {}", circle.len(), explain(circle, &edges));
    }
    for (files, reason) in CIRCLES {
        assert!(!reason.is_empty(), "{files:?} have no reason");
        assert!(found.iter().any(|circle| covers(files, circle)), "{files:?} is no circle any more: take it out");
    }
}

#[test]
fn no_two_types_share_a_name() {
    let files = Files::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"));
    let types = names::types(files.texts());
    assert!(400 < types.len(), "only {} types found", types.len());
    let shown = |files: &BTreeSet<String>| files.iter().cloned().collect::<Vec<_>>().join(", ");
    let twice = types.iter().filter(|(_, files)| 1 < files.len());
    let twice: Vec<_> = twice.map(|(name, files)| format!("`{name}` is declared in {}", shown(files))).collect();
    assert_eq!(twice, [] as [String; 0]);
}

/// The imports that make a circle.
fn explain(circle: &BTreeSet<String>, edges: &Edges) -> String {
    let of = |file: &String| {
        let others: Vec<_> = edges[file].iter().filter(|other| circle.contains(*other)).cloned().collect();
        format!("\n  {file} imports {}", others.join(", "))
    };
    circle.iter().map(of).collect()
}

#[test]
fn a_circle_is_found() {
    let files = Files::of(&[
        ("", "mod a;\npub mod b;\nmod c;\nmod d;"),
        ("a", "pub use one::{One, Two as Second};\nmod one;\npub struct Own;"),
        ("a::one", "pub struct One;\npub enum Two {}\nfn call() { crate::c::go(); }"),
        ("b", "use crate::{\n    a::{self, One},\n    c,\n};\npub fn go() { c::go() }"),
        (
            "c",
            "// use crate::d::go;\n#[cfg(test)]\nuse super::d::go;\nuse super::b as other;\npub fn go() { other::go() }",
        ),
        ("d", "use super::a::Second;\npub fn go() { std::mem::drop(crate::c::go()) }"),
    ]);
    let edges = files.edges();
    assert_eq!(edges["d.rs"].iter().collect::<Vec<_>>(), ["a::one.rs", "c.rs"]);
    assert_eq!(edges["b.rs"].iter().collect::<Vec<_>>(), ["a::one.rs", "c.rs"]);
    let found = circles(&edges);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].iter().collect::<Vec<_>>(), ["a::one.rs", "b.rs", "c.rs"]);
}

#[test]
fn every_module_says_what_it_is_for() {
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} has no first `//!` line", path.display());
    }
}

#[test]
fn files_stay_small() {
    for path in sources() {
        let lines = code(&path).lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines before its tests", path.display());
    }
}

#[test]
fn some_crates_have_one_place() {
    for path in sources() {
        for (name, owner) in OWNED {
            let named = code(&path)
                .lines()
                .any(|line| !line.trim_start().starts_with("//") && line.contains(&format!("{name}::")));
            assert!(
                !named || owner.split(", ").any(|owner| room(&path) == owner),
                "{} names `{name}`, which belongs to `{owner}`",
                path.display()
            );
        }
    }
}

#[test]
fn every_fault_has_tests_that_exist() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/blackbox");
    let table = fs::read_to_string(folder.join("README.md")).unwrap();
    let rows: Vec<_> = table.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | ")).collect();
    for fault in 1..=53 {
        let row = rows.iter().find(|(number, _)| *number == fault.to_string());
        let (_, tests) = row.unwrap_or_else(|| panic!("fault {fault} has no row"));
        let names: Vec<_> = tests.split('`').filter_map(|word| word.split_once("::")).collect();
        assert!(!names.is_empty(), "fault {fault} has no test");
        for (module, test) in names {
            let text = fs::read_to_string(folder.join(format!("{module}.rs"))).unwrap();
            assert!(text.contains(&format!("async fn {test}()")), "fault {fault}: there is no {module}::{test}");
        }
    }
}

#[test]
fn every_failure_of_docker_has_tests_that_exist() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docker");
    let table = fs::read_to_string(folder.join("README.md")).unwrap();
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| ") && line.contains("::")).collect();
    assert!(30 < rows.len(), "only {} rows", rows.len());
    for row in rows {
        for (module, test) in row.split('`').filter_map(|word| word.split_once("::")) {
            let text = fs::read_to_string(folder.join(format!("{module}.rs"))).unwrap();
            assert!(text.contains(&format!("fn {test}()")), "there is no {module}::{test}");
        }
    }
}

#[test]
fn the_lock_file_has_no_version_with_a_known_hole() {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    let version = |name: &str| -> Vec<u64> {
        let entry =
            lock.split(&format!("name = \"{name}\"\nversion = \"")).nth(1).unwrap_or_else(|| panic!("no {name}"));
        entry.split('"').next().unwrap().split('.').map(|part| part.parse().unwrap()).collect()
    };
    // The advisory database cannot be reached from CI, so the versions that closed a hole are kept here by hand.
    for (name, least) in
        [("pingora-core", [0, 9, 1]), ("h2", [0, 4, 20]), ("rustls", [0, 23, 46]), ("zstd", [0, 14, 3])]
    {
        assert!(least.to_vec() <= version(name), "{name} {:?} is older than {least:?}", version(name));
    }
}
