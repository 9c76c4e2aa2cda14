//! The history over restarts, and where it cannot be written.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::reload::testing::Folder;

fn happened(result: HistoryResult, differences: &str) -> Happened {
    Happened { origin: "file", result, generation: 2, differences: differences.to_owned(), rolled_back_to: None }
}

#[tokio::test]
async fn a_restart_forgets_nothing_and_nobody_else_may_read_it() {
    let folder = Folder::new();
    let path = History::beside(&folder.path().join("heals.jsonl"));
    assert!(path.ends_with("heals.jsonl.history"));
    let first = Arc::new(History::in_file(path.clone(), &path.with_extension("")));
    let mut texts = one_text("a: secret");
    texts.includes.insert("*.yaml".to_owned(), vec!["/x.yaml".into()]);
    first.add(happened(HistoryResult::Accepted, "1 route added (/x)"), texts.clone());
    first.add(happened(HistoryResult::Refused, "no upstream"), one_text("b"));
    assert!(first.tell_once("hold") && !first.tell_once("hold"));
    first.save().await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");

    let second = History::in_file(path.clone(), &path.with_extension(""));
    assert_eq!(second.entries(), first.entries());
    assert_eq!(second.in_force(), Some(Wanted { id: 1, texts: texts.clone() }));
    assert_eq!(second.wanted(Some(1), false), Ok(Wanted { id: 1, texts }));
    assert!(!second.tell_once("hold"));
    assert_eq!(second.add(happened(HistoryResult::Accepted, "x"), one_text("c")), 3);
}

#[tokio::test]
async fn what_cannot_be_read_or_written_costs_the_file_alone() {
    let folder = Folder::new();
    let damaged = Arc::new(History::in_file(folder.write("damaged", "{ \"entries\": ["), folder.path()));
    assert!(damaged.entries().is_empty());
    damaged.add(happened(HistoryResult::Accepted, "x"), one_text("a"));
    damaged.save().await;
    assert_eq!(History::in_file(folder.path().join("damaged"), folder.path()).entries().len(), 1);

    let nowhere = Arc::new(History::in_file(folder.path().join("nowhere/history"), folder.path()));
    nowhere.add(happened(HistoryResult::Accepted, "x"), one_text("a"));
    nowhere.save().await;
    assert!(nowhere.place.lock().as_ref().unwrap().is_failing);
    assert_eq!(nowhere.entries().len(), 1, "it is in memory all the same");
    std::fs::create_dir(folder.path().join("nowhere")).unwrap();
    nowhere.save().await;
    assert!(!nowhere.place.lock().as_ref().unwrap().is_failing, "and on disk as soon as there is a place");
}

#[test]
fn a_place_that_was_used_before_says_so() {
    let folder = Folder::new();
    let (history, journal) = (folder.path().join("heals.jsonl.history"), folder.write("heals.jsonl", ""));
    assert_eq!(History::in_file(history.clone(), &journal).ran_before(), Some(false));
    folder.write("heals.jsonl", "{}\n");
    assert_eq!(History::in_file(history.clone(), &journal).ran_before(), Some(true));
    folder.write("heals.jsonl", "");
    folder.write("heals.jsonl.history", "{}");
    assert_eq!(History::in_file(history, &journal).ran_before(), Some(true));
    assert_eq!(History::default().ran_before(), None);
}
