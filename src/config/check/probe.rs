//! Health checks: `tcp`, a path, `off`, or the long form.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::types::HostPattern;

use super::super::model::{CheckKind, CheckSpec, Protocol, StatusRanges};
use super::super::problem::{Problem, Problems};
use super::super::raw::RawCheck;
use super::super::read::{Form, Item, field, flag, one_or_many, open, text};
use super::super::words::{nearest, quoted};
use super::leaf::{HOUR, MINUTE, MS, all, brief, duration, number32};

const FORMS: &str =
    "`tcp`, `mysql`, `postgres`, `redis`, a path such as `/health`, `off`, or `{ http: /health, every: 2s }`";
const EVERY: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(1);
const FALL: u32 = 3;
const RISE: u32 = 2;

/// The check of an upstream that names none.
pub(super) fn tcp() -> CheckSpec {
    of_kind(CheckKind::Tcp)
}

fn of_kind(kind: CheckKind) -> CheckSpec {
    CheckSpec { kind, every: EVERY, timeout: TIMEOUT, fall: FALL, rise: RISE }
}

/// The check of an upstream; `Some(None)` is `off`.
pub(super) fn check(item: Option<&Item>, problems: &mut Problems) -> Option<Option<CheckSpec>> {
    let Some(item) = item else { return Some(Some(tcp())) };
    match item.form() {
        Form::Text(text) => short(item, &text, problems),
        Form::Map => long(item, problems).map(Some),
        Form::List(_) | Form::Nothing => item.wrong_form(FORMS, problems),
    }
}

fn short(item: &Item, text: &str, problems: &mut Problems) -> Option<Option<CheckSpec>> {
    match text {
        "tcp" => Some(Some(tcp())),
        "off" => Some(None),
        word if greeting(word).is_some() => Some(greeting(word).map(of_kind)),
        path if path.starts_with('/') => {
            let path = request_target(item, path, problems)?;
            Some(Some(of_kind(CheckKind::Http { path, host: None, expect: usual_statuses() })))
        }
        other => {
            let (problem, help) = match other {
                "docker" => ("`check: docker` is not available yet".to_owned(), format!("write {FORMS}")),
                "http" => ("`http` names no path".to_owned(), "write the path to request: `check: /health`".to_owned()),
                other => (format!("{} is not a check", quoted(other)), not_check(other)),
            };
            problems.add(Problem::new(&item.place, problem).help(help))
        }
    }
}

/// The check of a database that is named by its protocol.
fn greeting(word: &str) -> Option<CheckKind> {
    Protocol::ALL.iter().find(|(name, _)| *name == word).map(|(_, protocol)| CheckKind::Greeting(*protocol))
}

fn not_check(text: &str) -> String {
    if let Some((_, rest)) = text.split_once("://") {
        let path = rest.find('/').and_then(|start| rest.get(start..)).unwrap_or("/");
        return format!("write only the path, `{path}`: it is requested from every server, in cleartext HTTP");
    }
    if matches!(text, "false" | "no" | "none") {
        return "write `off`".into();
    }
    if matches!(text, "on" | "true" | "yes") {
        return "write a path to request, such as `/health`, or `tcp`".into();
    }
    match text {
        "mariadb" => return "write `mysql`: the protocol is the same".into(),
        "postgresql" => return "write `postgres`".into(),
        "valkey" => return "write `redis`: the protocol is the same".into(),
        _ => {}
    }
    match nearest(text, ["tcp", "off", "mysql", "postgres", "redis"]) {
        Some(near) => format!("did you mean `{near}`?"),
        None if HostPattern::parse(text).is_ok() => format!("for a path write `/{text}`; otherwise `tcp` or `off`"),
        None => format!("write {FORMS}"),
    }
}

fn long(item: &Item, problems: &mut Problems) -> Option<CheckSpec> {
    let mut raw: RawCheck = open(item, FORMS, problems)?;
    let every_item = field!(raw.every, item);
    let every = duration(every_item, 100 * MS..=HOUR, EVERY, problems);
    let timeout_item = field!(raw.timeout, item);
    let timeout = duration(timeout_item.clone(), 10 * MS..=MINUTE, TIMEOUT.min(every.unwrap_or(EVERY)), problems);
    if let (Some(every), Some(timeout), Some(item)) = (every, timeout, &timeout_item)
        && every < timeout
    {
        let problem = Problem::new(
            &item.place,
            format!("`timeout` is {}, longer than `every` ({})", brief(timeout), brief(every)),
        );
        problems.add::<()>(problem.help(format!("lower `timeout` to at most {}, or raise `every`", brief(every))));
    }
    let fall = number32(field!(raw.fall, item), 1..=100, FALL, problems);
    let rise = number32(field!(raw.rise, item), 1..=100, RISE, problems);
    let kind = kind(raw, item, problems);
    Some(CheckSpec { kind: kind?, every: every?, timeout: timeout?, fall: fall?, rise: rise? })
}

fn kind(mut raw: RawCheck, item: &Item, problems: &mut Problems) -> Option<CheckKind> {
    let (http, tcp) = (field!(raw.http, item), field!(raw.tcp, item));
    let (host, expect) = (field!(raw.host, item), field!(raw.expect, item));
    match (http, tcp) {
        (Some(http), None) => {
            let path = text(&http, problems).and_then(|path| request_target(&http, &path, problems));
            let host = match host {
                Some(host) => host_field(&host, problems).map(Some),
                None => Some(None),
            };
            let expect = match expect {
                Some(expect) => statuses(&expect, problems),
                None => Some(usual_statuses()),
            };
            Some(CheckKind::Http { path: path?, host: host?, expect: expect? })
        }
        (None, Some(tcp)) => {
            for extra in [host, expect].into_iter().flatten() {
                let problem =
                    Problem::new(&extra.place.of_key(), format!("a TCP check has no {}", quoted(extra.place.name())));
                problems.add::<()>(problem.help("remove it, or write `http: /health` instead of `tcp`"));
            }
            if let Form::Text(word) = tcp.form()
                && let Some(kind) = greeting(&word)
            {
                return Some(kind);
            }
            if flag(Some(tcp.clone()), true, problems)? {
                return Some(CheckKind::Tcp);
            }
            problems.add(Problem::new(&tcp.place, "`tcp: false` checks nothing").help("write `check: off`"))
        }
        (Some(_), Some(tcp)) => {
            let problem = Problem::new(&tcp.place.of_key(), "a check has either `http` or `tcp`, not both");
            problems.add(problem.help("remove one of the two; an HTTP check also opens a connection"))
        }
        (None, None) => {
            let problem = Problem::new(&item.place.of_key(), "this check has neither `http` nor `tcp`");
            problems.add(problem.help("add `http: /health` or `tcp: true`"))
        }
    }
}

/// A path and query that can stand in a request line.
pub(super) fn request_target(item: &Item, path: &str, problems: &mut Problems) -> Option<String> {
    let sound = path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if sound && path.len() <= 2_000 && path.parse::<http::Uri>().is_ok() {
        return Some(path.to_owned());
    }
    let problem = Problem::new(&item.place, format!("{} is not a path that can be requested", quoted(path)));
    problems.add(problem.help(
        "write an absolute path, such as `/health`, with spaces and other special characters percent-encoded (`%20`)",
    ))
}

fn host_field(item: &Item, problems: &mut Problems) -> Option<String> {
    let text = text(item, problems)?;
    let name =
        text.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(text.as_str(), |(name, _)| name);
    if matches!(HostPattern::parse(name), Ok(HostPattern::Exact(_))) {
        return Some(text);
    }
    let problem = Problem::new(&item.place, format!("{} is not a host", quoted(&text)));
    problems.add(problem.help("write the `Host` to send, such as `app.example.com`"))
}

fn usual_statuses() -> StatusRanges {
    StatusRanges(vec![200..=399])
}

/// `200`, `200-399`, `200,204` or a list of them.
fn statuses(item: &Item, problems: &mut Problems) -> Option<StatusRanges> {
    let mut ranges = Vec::new();
    for item in one_or_many(item) {
        let text = text(&item, problems)?;
        let found = text.split(',').map(|part| status_range(part.trim())).collect::<Option<Vec<_>>>();
        let Some(found) = found else {
            let problem =
                Problem::new(&item.place, format!("{} is neither a status code nor a range of them", quoted(&text)));
            ranges.push(problems.add(problem.help("write `200`, `200-399` or `200,204`; status codes are 100 to 599")));
            continue;
        };
        ranges.extend(found.into_iter().map(Some));
    }
    let ranges = all(ranges)?;
    if ranges.is_empty() {
        return problems.add(Problem::new(&item.place, "`expect` lists no status code").help("write `200-399`"));
    }
    Some(StatusRanges(ranges))
}

fn status_range(text: &str) -> Option<RangeInclusive<u16>> {
    let status = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (100..=599).contains(status));
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (status(first)?, status(last)?),
        None => (status(text)?, status(text)?),
    };
    (first <= last).then_some(first..=last)
}
