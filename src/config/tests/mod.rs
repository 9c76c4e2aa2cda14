//! Tests of whole files: golden reports of bad ones, meanings of good ones, and the schema against both.

mod bad;
mod damage;
mod files;
mod good;
mod schema;

use std::path::{Path, PathBuf};

/// The files of a fixture folder, which must hold at least so many.
fn fixtures(folder: &str, least: usize) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(Path::new("tests/fixtures").join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    found.sort();
    assert!(least <= found.len(), "only {} fixtures in {folder}", found.len());
    found
}

/// An environment without variables.
fn no_env(_: &str) -> Option<String> {
    None
}
