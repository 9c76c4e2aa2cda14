//! Where heals are written down.

use std::path::PathBuf;

use super::super::model::JournalFile;
use super::super::problem::{Problem, Problems};
use super::super::raw::RawJournal;
use super::super::read::{Form, Item, field, open, text};
use super::super::words::quoted;

const FORMS: &str = "`auto`, `off`, an absolute path, or `{ file: /var/lib/remora/heals.jsonl }`";

/// The file, and what the older key `webhook` says, which `alerts` decides about.
pub(super) fn journal(item: Option<Item>, problems: &mut Problems) -> Option<(JournalFile, Option<Item>)> {
    let Some(item) = item else { return Some((JournalFile::default(), None)) };
    if matches!(item.form(), Form::Text(_)) {
        return Some((file(&item, problems)?, None));
    }
    let mut raw: RawJournal = open(&item, FORMS, problems)?;
    let webhook = field!(raw.webhook, item);
    // Where the file cannot be had, the webhook is checked all the same.
    let file = field!(raw.file, item).map_or(Some(JournalFile::Auto), |item| file(&item, problems));
    Some((file.unwrap_or_default(), webhook))
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
