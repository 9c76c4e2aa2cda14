//! Where heals are written down and who is told of them.

use std::path::PathBuf;

use super::super::model::{JournalFile, JournalSpec};
use super::super::problem::{Problem, Problems};
use super::super::raw::RawJournal;
use super::super::read::{Form, Item, field, open, text};
use super::super::words::quoted;

const FORMS: &str = "`auto`, `off`, an absolute path, or `{ file: /var/lib/remora/heals.jsonl, webhook: https://... }`";

pub(super) fn journal(item: Option<Item>, problems: &mut Problems) -> Option<JournalSpec> {
    let Some(item) = item else { return Some(JournalSpec::default()) };
    if matches!(item.form(), Form::Text(_)) {
        return Some(JournalSpec { file: file(&item, problems)?, webhook: None });
    }
    let mut raw: RawJournal = open(&item, FORMS, problems)?;
    let file = field!(raw.file, item).map_or(Some(JournalFile::Auto), |item| file(&item, problems));
    let webhook = field!(raw.webhook, item).map_or(Some(None), |item| webhook(&item, problems).map(Some));
    Some(JournalSpec { file: file?, webhook: webhook? })
}

fn file(item: &Item, problems: &mut Problems) -> Option<JournalFile> {
    let text = text(item, problems)?;
    match text.as_str() {
        "auto" => Some(JournalFile::Auto),
        "off" => Some(JournalFile::Off),
        path if path.starts_with('/') && !path.ends_with('/') => Some(JournalFile::At(PathBuf::from(path))),
        _ => {
            let problem = Problem::new(&item.place, format!("{} is not an absolute path", quoted(&text)));
            problems.add(problem.help(format!("write {FORMS}")))
        }
    }
}

fn webhook(item: &Item, problems: &mut Problems) -> Option<String> {
    let text = text(item, problems)?;
    let is_address = text.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    if is_address {
        return Some(text);
    }
    // Not the text itself: it is often a secret.
    let problem = Problem::new(&item.place, "`webhook` is not an HTTP URL");
    problems.add(problem.help("give the full URL, such as `https://hooks.example.com/remora`"))
}
