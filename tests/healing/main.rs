//! What healing costs: forces a sickness on one of three replicas behind the real edge, under load, and takes times.
//!
//! Not part of `make test`. `make healing` runs everything and writes `target/healing/RESULTS.md`; with
//! `ONLY=gunicorn-pid1/frozen,overload` a part, by the beginnings of names. `HEALING_BINARY` is the edge to measure, else
//! the one that Cargo has built for this test; `HEALING_PROJECT` another name for the Compose project.

#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a test fails by panicking, prints its figures and may spawn"
)]

mod cases;
mod edge;
mod faults;
mod first_lines;
mod host;
#[path = "../support/load.rs"]
#[allow(dead_code, reason = "shared")]
mod load;
mod programs;
mod report;
mod special;
mod stack;

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use programs::{PROGRAMS, SICKNESSES};
use report::Report;

/// What of everything is to be run.
struct Wanted(Vec<String>);

impl Wanted {
    /// From `ONLY`. The hour of random faults is run only by name.
    fn from_environment() -> Self {
        let only = std::env::var("ONLY").unwrap_or_default();
        Self(only.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }

    fn has(&self, name: &str) -> bool {
        let is_meant = |wanted: &String| name == wanted || name.starts_with(&format!("{wanted}/"));
        if self.0.is_empty() { name != "faults" } else { self.0.iter().any(is_meant) }
    }
}

/// Runs a part of it; one that breaks down does not take the others with it.
async fn tolerant(name: &str, report: &mut Report, part: impl AsyncFnOnce(&mut Report)) {
    let outcome = AssertUnwindSafe(part(report)).catch_unwind().await;
    if let Err(panic) = outcome {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
        report.problem(name, &format!("broke down: {text}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Docker, the images and half an hour: make healing"]
async fn what_healing_costs() {
    let wanted = Wanted::from_environment();
    let mut report = Report::default();
    for program in &PROGRAMS {
        let names = SICKNESSES.map(|sickness| (sickness, format!("{}/{}", program.name, sickness.name())));
        let chosen: Vec<_> = names.into_iter().filter(|(one, name)| program.can(*one) && wanted.has(name)).collect();
        tolerant(program.name, &mut report, async |report| cases::run(program, &chosen, report).await).await;
        let names = SICKNESSES.map(|sickness| (sickness, format!("autoheal/{}/{}", program.name, sickness.name())));
        let chosen: Vec<_> =
            names.into_iter().filter(|(one, name)| program.beside && program.can(*one) && wanted.has(name)).collect();
        tolerant(program.name, &mut report, async |report| cases::run_autoheal(program, &chosen, report).await).await;
    }
    for (name, case) in special::CASES {
        if wanted.has(name) {
            tolerant(name, &mut report, async |report| case.run(name, report).await).await;
        }
    }
    tolerant("first-lines", &mut report, async |report| first_lines::run(|name| wanted.has(name), report).await).await;
    if wanted.has("faults") {
        faults::run(&mut report).await;
    }
    assert!(!report.is_empty(), "nothing is called so: {:?}", wanted.0);
    println!("\n{}", report.text());
    assert!(report.problems().is_empty(), "{}", report.problems().join("\n"));
}
