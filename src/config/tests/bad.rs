//! Golden files: every bad file and the report a user sees. `UPDATE_GOLDEN=1 cargo test` rewrites the reports.

use std::path::Path;

use super::super::load;
use super::{fixtures, no_env};

#[test]
fn bad_files_are_reported_as_recorded() {
    let mut wrong = Vec::new();
    for path in fixtures("bad_config", 30) {
        let report = match load(&path, &no_env) {
            Ok(_) => panic!("{} has no problem", path.display()),
            Err(report) => format!("{report}\n"),
        };
        let golden = path.with_extension("report");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &report).unwrap();
        }
        if std::fs::read_to_string(&golden).ok().as_deref() != Some(report.as_str()) {
            wrong.push(format!("{}:\n{report}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "these differ from their .report files:\n{}", wrong.join("\n"));
}

#[test]
fn every_problem_has_a_place_and_most_a_remedy() {
    let (mut problems, mut helps) = (0, 0);
    for path in fixtures("bad_config", 30) {
        let report = load(&path, &no_env).unwrap_err();
        let text = report.to_string();
        let count = text.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(count, report.problems(), "{}", path.display());
        assert_eq!(count, text.lines().filter(|line| line.trim_start().starts_with("--> ")).count(), "{text}");
        let placed = text.lines().filter_map(|line| line.trim_start().strip_prefix("--> ")).filter(|place| {
            let mut ends = place.rsplitn(3, ':');
            ends.next().is_some_and(|column| column.parse::<u32>().is_ok())
                && ends.next().is_some_and(|line| line.parse::<u32>().is_ok())
        });
        let whole = ["empty.yaml", "not_utf8.yaml"].iter().any(|name| path.ends_with(name));
        assert_eq!(placed.count(), if whole { 0 } else { count }, "{text}");
        problems += count;
        helps += text.lines().filter(|line| line.trim_start().starts_with("= help: ")).count();
    }
    assert!(100 < problems, "only {problems} problems are covered");
    assert!(problems * 8 < helps * 10, "only {helps} of {problems} problems say what to do");
}

#[test]
fn a_coloured_report_says_the_same() {
    let report = load(Path::new("tests/fixtures/bad_config/many_at_once.yaml"), &no_env).unwrap_err();
    let coloured = report.render(true);
    assert!(coloured.contains("\u{1b}["));
    assert!(!report.render(false).contains('\u{1b}'));
    assert!(coloured.ends_with(&format!("{} problems.", report.problems())));
}

#[test]
fn nothing_in_a_file_reaches_the_terminal_raw() {
    let report = load(Path::new("tests/fixtures/bad_config/terminal.yaml"), &no_env).unwrap_err();
    assert!(report.to_string().chars().all(|c| c == '\n' || !c.is_control()));
}
