//! What is logged, how, and where to.

use std::path::PathBuf;

use log::LevelFilter;

use super::super::model::{AccessLog, AccessLogSpec, LogSpec};
use super::super::problem::{Problem, Problems};
use super::super::raw::{RawAccessLog, RawLog};
use super::super::read::{Form, Item, choice, field, flag, open, text};
use super::super::words::quoted;

const FORMS: &str = "`combined`, `json`, `off`, or `{ format: combined, file: /var/log/remora/access.log }`";
const FORMATS: [(&str, AccessLog); 3] =
    [("combined", AccessLog::Combined), ("json", AccessLog::Json), ("off", AccessLog::Off)];

pub(super) fn log(item: Option<Item>, problems: &mut Problems) -> Option<LogSpec> {
    let defaults =
        LogSpec { access: AccessLogSpec { form: AccessLog::Combined, file: None }, level: LevelFilter::Info };
    let Some(item) = item else { return Some(defaults) };
    let mut raw: RawLog = open(&item, "`{ access: combined, level: info }`", problems)?;
    let access = match field!(raw.access, item) {
        Some(item) => access(&item, problems),
        None => Some(defaults.access),
    };
    let level = match field!(raw.level, item) {
        Some(level) => {
            let words = [
                ("error", LevelFilter::Error),
                ("warn", LevelFilter::Warn),
                ("info", LevelFilter::Info),
                ("debug", LevelFilter::Debug),
                ("trace", LevelFilter::Trace),
                ("off", LevelFilter::Off),
            ];
            choice(&level, &words, problems)
        }
        None => Some(defaults.level),
    };
    Some(LogSpec { access: access?, level: level? })
}

fn access(item: &Item, problems: &mut Problems) -> Option<AccessLogSpec> {
    if matches!(item.form(), Form::Text(_)) {
        return Some(AccessLogSpec { form: choice(item, &FORMATS, problems)?, file: None });
    }
    let mut raw: RawAccessLog = open(item, FORMS, problems)?;
    let form = match field!(raw.format, item) {
        Some(format) => choice(&format, &FORMATS, problems),
        None => Some(AccessLog::Combined),
    };
    let file = match field!(raw.file, item) {
        Some(item) => file(&item, problems).map(Some),
        None => Some(None),
    };
    let with_id = field!(raw.request_id, item);
    let wanted = flag(with_id.clone(), false, problems);
    let form = match (form?, wanted?) {
        (AccessLog::Combined, true) => AccessLog::CombinedWithId,
        (AccessLog::Json, false) if let Some(item) = with_id => {
            let problem = Problem::new(&item.place, "a JSON line always has the request's id");
            return problems.add(problem.help("remove `request_id`"));
        }
        (form, _) => form,
    };
    Some(AccessLogSpec { form, file: file? })
}

fn file(item: &Item, problems: &mut Problems) -> Option<PathBuf> {
    let path = text(item, problems)?;
    if path.starts_with('/') && !path.ends_with('/') {
        return Some(PathBuf::from(path));
    }
    let problem = Problem::new(&item.place, format!("{} is not an absolute path", quoted(&path)));
    problems.add(problem.help("write the path of a file, such as `/var/log/remora/access.log`"))
}
