//! Health checks: `tcp`, a path, `off`, or the long form.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::Method;

use crate::types::HostPattern;

use super::super::model::{CheckKind, CheckSpec, PageSpec, Protocol, StatusRanges};
use super::super::problem::{Problem, Problems};
use super::super::raw::RawCheck;
use super::super::read::{Form, Item, field, flag, one_or_many, open, text};
use super::super::words::{listed, nearest, quoted};
use super::check_headers::headers;
use super::leaf::{HOUR, MINUTE, MS, all, brief, duration, number, number32};

const FORMS: &str =
    "`tcp`, `mysql`, `postgres`, `redis`, a path such as `/health`, `off`, or `{ http: /health, every: 2s }`";
const EVERY: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(1);
const FALL: u32 = 3;
const RISE: u32 = 2;
/// How a page may be requested: what a service does with others need not be harmless.
const METHODS: [Method; 4] = [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST];

/// The check of an upstream that names none.
pub(super) fn tcp() -> CheckSpec {
    of_kind(CheckKind::Tcp)
}

fn of_kind(kind: CheckKind) -> CheckSpec {
    CheckSpec { kind, port: None, every: EVERY, timeout: TIMEOUT, fall: FALL, rise: RISE }
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
            let (method, expect) = (Method::GET, usual_statuses());
            Some(Some(of_kind(CheckKind::Http(PageSpec { method, path, host: None, headers: Vec::new(), expect }))))
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
    let port = field!(raw.port, item).map(|port| u16::try_from(number(Some(port), 1..=65_535, 0, problems)?).ok());
    let kind = kind(raw, item, problems);
    let port = match port {
        Some(port) => Some(port?),
        None => None,
    };
    Some(CheckSpec { kind: kind?, port, every: every?, timeout: timeout?, fall: fall?, rise: rise? })
}

/// What is asked: exactly one key says it.
fn kind(mut raw: RawCheck, item: &Item, problems: &mut Problems) -> Option<CheckKind> {
    let asked = [
        field!(raw.http, item),
        field!(raw.tcp, item),
        field!(raw.mysql, item),
        field!(raw.postgres, item),
        field!(raw.redis, item),
    ];
    let mut asked = asked.into_iter().flatten();
    let Some(first) = asked.next() else {
        let keys = listed(["http", "tcp", "mysql", "postgres", "redis"]);
        let problem = Problem::new(&item.place.of_key(), format!("this check has none of {keys}"));
        return problems.add(problem.help("add `http: /health`, `tcp: true` or `mysql: true`"));
    };
    if let Some(second) = asked.next() {
        let (first, place) = (quoted(first.place.name()), second.place.of_key());
        let message = format!("a check has either {first} or {}, not both", quoted(second.place.name()));
        return problems
            .add(Problem::new(&place, message).help("remove one of the two; each of them opens a connection"));
    }
    if first.place.name() == "http" {
        return page(raw, &first, item, problems).map(CheckKind::Http);
    }
    let of_pages =
        [field!(raw.method, item), field!(raw.host, item), field!(raw.headers, item), field!(raw.expect, item)];
    for extra in of_pages.into_iter().flatten() {
        let what = if first.place.name() == "tcp" { "TCP".to_owned() } else { quoted(first.place.name()) };
        let message = format!("a {what} check has no {}", quoted(extra.place.name()));
        let help = format!("remove it, or write `http: /health` instead of `{}`", first.place.name());
        problems.add::<()>(Problem::new(&extra.place.of_key(), message).help(help));
    }
    connection(&first, problems)
}

/// `tcp: true`, `mysql: true`, or `tcp: mysql`.
fn connection(item: &Item, problems: &mut Problems) -> Option<CheckKind> {
    let key = item.place.name();
    if let Form::Text(word) = item.form()
        && let Some(kind) = greeting(&word).filter(|_| key == "tcp")
    {
        return Some(kind);
    }
    if flag(Some(item.clone()), true, problems)? {
        return Some(greeting(key).unwrap_or(CheckKind::Tcp));
    }
    let problem = Problem::new(&item.place, format!("`{key}: false` checks nothing"));
    problems.add(problem.help("write `check: off`"))
}

/// The page of an HTTP check.
fn page(mut raw: RawCheck, http: &Item, item: &Item, problems: &mut Problems) -> Option<PageSpec> {
    let path = text(http, problems).and_then(|path| request_target(http, &path, problems));
    let method = match field!(raw.method, item) {
        Some(method) => method_of(&method, problems),
        None => Some(Method::GET),
    };
    let host = match field!(raw.host, item) {
        Some(host) => host_field(&host, problems).map(Some),
        None => Some(None),
    };
    let headers = match field!(raw.headers, item) {
        Some(listed) => headers(&listed, problems),
        None => Some(Vec::new()),
    };
    let expect = match field!(raw.expect, item) {
        Some(expect) => statuses(&expect, problems),
        None => Some(usual_statuses()),
    };
    Some(PageSpec { method: method?, path: path?, host: host?, headers: headers?, expect: expect? })
}

fn method_of(item: &Item, problems: &mut Problems) -> Option<Method> {
    let text = text(item, problems)?;
    let found = METHODS.iter().find(|method| text.eq_ignore_ascii_case(method.as_str())).cloned();
    found.or_else(|| {
        let problem = Problem::new(&item.place, format!("{} is not a method of a check", quoted(&text)));
        problems.add(problem.help(format!("write {}", listed(METHODS.iter().map(Method::as_str)))))
    })
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
