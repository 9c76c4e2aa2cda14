//! Upstreams: their names, servers and settings.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::types::{ByteSize, UpstreamName};

use super::super::changed::SaysItself;
use super::super::habits::missing_balance;
use super::super::model::{Balance, CorsSpec, RetryOn, RetrySpec, Timeouts, UpstreamSpec};
use super::super::problem::{Problem, Problems};
use super::super::raw::{RawRetry, RawTimeouts, RawUpstream};
use super::super::read::{Form, Item, choice, field, one_or_many, open, text};
use super::super::words::{nearest, quoted};
use super::cors::cors;
use super::declared::{Declared, target};
use super::heal::heal;
use super::leaf::{HOUR, MINUTE, MS, all, duration, number32, percent, required, size};
use super::probe::check;
use super::server::servers;

/// An upstream, and what is written beside it for the routes that lead there.
pub(super) struct Written {
    pub spec: UpstreamSpec,
    pub cors: Option<CorsSpec>,
    pub says: SaysItself,
}

/// Decides every upstream; those with a problem are left out.
pub(super) fn upstreams(declared: &Declared, problems: &mut Problems) -> BTreeMap<UpstreamName, Written> {
    let mut found = BTreeMap::new();
    for (name, item) in declared.items() {
        let name = UpstreamName::parse(name).map_or_else(|error| problems.tell(&item.place.of_key(), &error), Some);
        // Without a good name it is still read for the problems inside.
        let spec = upstream(name.as_ref(), item, declared, problems);
        found.extend(name.zip(spec));
    }
    found
}

fn upstream(name: Option<&UpstreamName>, item: &Item, declared: &Declared, problems: &mut Problems) -> Option<Written> {
    let mut raw = match item.form() {
        // The servers alone: everything else has a default.
        Form::Text(_) | Form::List(_) => {
            let servers = servers(item, problems);
            let spec = UpstreamSpec { servers: servers?, ..defaults(name?.clone()) };
            return Some(Written { spec, cors: None, says: SaysItself::default() });
        }
        Form::Nothing if item.is_empty() => RawUpstream::default(),
        Form::Map | Form::Nothing => {
            open(item, "a server such as `backend:8000`, or `{ servers: …, check: … }`", problems)?
        }
    };
    let raw: &mut RawUpstream = &mut raw;
    let heal_item = field!(raw.heal, item);
    let says = SaysItself {
        hold: raw.hold.is_some(),
        needs: raw.needs.is_some(),
        budget: heal_item.as_ref().is_some_and(|heal| heal.entries().iter().any(|(key, _)| key == "budget")),
    };
    let listed = required(field!(raw.servers, item), "servers", item, "`servers: \"backend:8000\"`", problems);
    let servers = listed.and_then(|listed| servers(&listed, problems));
    let balance = balance(field!(raw.balance, item), problems);
    let check_item = field!(raw.check, item);
    let check = check(check_item.as_ref(), problems);
    let needs = needs(field!(raw.needs, item), item, declared, problems);
    let timeouts = timeouts(field!(raw.timeouts, item), problems);
    let retry = retry(field!(raw.retry, item), problems);
    let hold = duration(field!(raw.hold, item), 0..=5 * MINUTE, HOLD, problems);
    let cors = match field!(raw.cors, item) {
        Some(item) => cors(&item, problems).map(Some),
        None => Some(None),
    };
    let heal = heal(heal_item, check_item.as_ref(), problems);
    let request_buffer = size(field!(raw.request_buffer, item), ByteSize(64 << 20), REQUEST_BUFFER, problems);
    let spec = UpstreamSpec {
        name: name?.clone(),
        servers: servers?,
        balance: balance?,
        check: check?,
        needs: needs?,
        timeouts: timeouts?,
        retry: retry?,
        hold: hold?,
        heal: heal?,
        request_buffer: request_buffer?,
    };
    Some(Written { spec, cors: cors?, says })
}

/// As long as a process takes that is reloaded, or a container that is replaced.
const HOLD: Duration = Duration::from_secs(10);
const REQUEST_BUFFER: ByteSize = ByteSize(1 << 20);
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(2),
    read: Duration::from_secs(60),
    write: Duration::from_secs(60),
    idle: Duration::from_secs(1),
};

/// An upstream of which only the name and the servers are written.
fn defaults(name: UpstreamName) -> UpstreamSpec {
    UpstreamSpec {
        name,
        servers: Vec::new(),
        balance: Balance::RoundRobin,
        check: Some(super::probe::tcp()),
        needs: Vec::new(),
        timeouts: TIMEOUTS,
        retry: retries(),
        hold: HOLD,
        heal: None,
        request_buffer: REQUEST_BUFFER,
    }
}

fn balance(item: Option<Item>, problems: &mut Problems) -> Option<Balance> {
    let Some(item) = item else { return Some(Balance::RoundRobin) };
    let word = match item.form() {
        Form::Text(text) => text,
        Form::Map => item.entries().first().map(|(key, _)| key.clone()).unwrap_or_default(),
        Form::List(_) | Form::Nothing => return item.wrong_form("`round_robin`", problems),
    };
    if let Some(missing) = missing_balance(&word) {
        return problems.add(missing.problem(&item.place, &format!("balance: {word}")));
    }
    choice(&Item { value: word.into(), place: item.place }, &[("round_robin", Balance::RoundRobin)], problems)
}

fn needs(item: Option<Item>, of: &Item, declared: &Declared, problems: &mut Problems) -> Option<Vec<UpstreamName>> {
    let Some(item) = item else { return Some(Vec::new()) };
    let mut names = Vec::new();
    for item in one_or_many(&item) {
        if matches!(item.form(), Form::Text(text) if text == of.place.name()) {
            let problem = Problem::new(&item.place, format!("{} needs itself", quoted(of.place.name())));
            names.push(problems.add(problem.help("remove it")));
        } else {
            names.push(target(&item, declared, problems));
        }
    }
    let mut names = all(names)?;
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Some(names)
}

fn timeouts(item: Option<Item>, problems: &mut Problems) -> Option<Timeouts> {
    let Some(item) = item else { return Some(TIMEOUTS) };
    let mut raw: RawTimeouts = open(&item, "`{ connect: 2s, read: 60s, write: 60s, idle: 1s }`", problems)?;
    let connect = duration(field!(raw.connect, item), 10 * MS..=MINUTE, TIMEOUTS.connect, problems);
    let read = duration(field!(raw.read, item), 10 * MS..=24 * HOUR, TIMEOUTS.read, problems);
    let write = duration(field!(raw.write, item), 10 * MS..=24 * HOUR, TIMEOUTS.write, problems);
    let idle = duration(field!(raw.idle, item), 0..=HOUR, TIMEOUTS.idle, problems);
    Some(Timeouts { connect: connect?, read: read?, write: write?, idle: idle? })
}

fn retries() -> RetrySpec {
    let on = RetryOn { connect: true, reset: true, timeout: false, statuses: Vec::new() };
    RetrySpec { attempts: 2, on, budget: crate::types::Percent(20) }
}

fn retry(item: Option<Item>, problems: &mut Problems) -> Option<RetrySpec> {
    const FORMS: &str = "`off`, or `{ attempts: 2, on: [connect, reset], budget: 20% }`";
    let defaults = retries();
    let Some(item) = item else { return Some(defaults) };
    if let Form::Text(text) = item.form() {
        return match text.as_str() {
            "off" => Some(RetrySpec { attempts: 0, ..defaults }),
            count if count.parse::<u32>().is_ok() => item.wrong_form(&format!("`{{ attempts: {count} }}`"), problems),
            _ => item.wrong_form(FORMS, problems),
        };
    }
    let mut raw: RawRetry = open(&item, FORMS, problems)?;
    let attempts = number32(field!(raw.attempts, item), 0..=10, defaults.attempts, problems);
    let on = match field!(raw.on, item) {
        Some(item) => retry_on(&item, problems),
        None => Some(defaults.on),
    };
    let budget = percent(field!(raw.budget, item), defaults.budget, problems);
    Some(RetrySpec { attempts: attempts?, on: on?, budget: budget? })
}

fn retry_on(item: &Item, problems: &mut Problems) -> Option<RetryOn> {
    let items = one_or_many(item);
    if items.is_empty() {
        let problem = Problem::new(&item.place, "`on` is an empty list, so nothing would be retried");
        return problems.add(problem.help("write `retry: off`, or list `connect` and `reset`"));
    }
    let mut on = RetryOn { connect: false, reset: false, timeout: false, statuses: Vec::new() };
    let mut sound = true;
    for item in &items {
        let Some(text) = text(item, problems) else {
            sound = false;
            continue;
        };
        match (text.as_str(), text.parse::<u16>()) {
            ("connect", _) => on.connect = true,
            ("reset", _) => on.reset = true,
            ("timeout", _) => on.timeout = true,
            (_, Ok(status)) if (500..=599).contains(&status) => on.statuses.push(status),
            _ => {
                sound = false;
                let problem = Problem::new(&item.place, format!("{} is not a retryable condition", quoted(&text)));
                let help = match nearest(&text, ["connect", "reset", "timeout"]) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "write `connect`, `reset`, `timeout` or a status code from 500 to 599".into(),
                };
                problems.add::<()>(problem.help(help));
            }
        }
    }
    on.statuses.sort_unstable();
    on.statuses.dedup();
    sound.then_some(on)
}
