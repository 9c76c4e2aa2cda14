//! Repairs: a step, a list of steps, `off`, or the long form with its limits.

use std::time::Duration;

use super::super::keys::keys_of;
use super::super::model::{Budget, HealSpec};
use super::super::problem::{Problem, Problems};
use super::super::raw::{RawHeal, RawStep};
use super::super::read::{Form, Item, field, open, text};
use super::super::words::quoted;
use super::leaf::{HOUR, MINUTE, MS, SECOND, duration, number32, required};
use super::step::steps;
use crate::types::parse_duration;

const FORMS: &str = "a step such as `gunicorn`, a list of steps, `off`, or `{ steps: […], drain: 5s }`";
const BUDGET: Budget = Budget { count: 3, window: Duration::from_secs(600) };

/// The repair of an upstream, whose check decides whether it worked; `Some(None)` is `off`.
pub(super) fn heal(item: Option<Item>, check: Option<&Item>, problems: &mut Problems) -> Option<Option<HealSpec>> {
    let Some(item) = item else { return Some(None) };
    if matches!(item.form(), Form::Text(text) if text == "off") {
        return Some(None);
    }
    match check.map(Item::form) {
        Some(Form::Text(text)) if text == "off" => {
            let problem = Problem::new(&item.place.of_key(), "`heal` needs a check, and `check` is `off`");
            problems.add::<()>(
                problem.help(
                    "the check decides when to heal and whether it worked: write `check: /health` or `check: tcp`",
                ),
            );
        }
        None => {
            let problem = Problem::new(
                &item.place.of_key(),
                "`heal` relies on the TCP check alone, which a hung process still passes",
            );
            problems.warn(problem.help("add `check: /health`, or `check: tcp` if that is intended"));
        }
        Some(_) => {}
    }
    match item.form() {
        Form::Map if !is_step(&item) => long(&item, problems).map(Some),
        Form::Text(_) | Form::List(_) | Form::Map => {
            let steps = steps(&item, problems)?;
            Some(Some(HealSpec { steps, ..limits() }))
        }
        Form::Nothing => item.wrong_form(FORMS, problems),
    }
}

/// `heal: { systemd: mysql }`: one step with a key of its own.
fn is_step(item: &Item) -> bool {
    let entries = item.entries();
    entries.len() == 1 && entries.iter().all(|(key, _)| keys_of::<RawStep>().contains(&key.as_str()))
}

fn limits() -> HealSpec {
    HealSpec {
        steps: Vec::new(),
        drain: Duration::from_secs(5),
        verify: Duration::from_secs(10),
        cooldown: Duration::from_secs(30),
        budget: BUDGET,
        min_up: 1,
        timeout: Duration::from_secs(15),
    }
}

fn long(item: &Item, problems: &mut Problems) -> Option<HealSpec> {
    let mut raw: RawHeal = open(item, FORMS, problems)?;
    let usual = limits();
    let listed = required(field!(raw.steps, item), "steps", item, "`steps: [gunicorn]`", problems);
    let steps = listed.and_then(|listed| steps(&listed, problems));
    let drain = duration(field!(raw.drain, item), 0..=10 * MINUTE, usual.drain, problems);
    let verify = duration(field!(raw.verify, item), 100 * MS..=10 * MINUTE, usual.verify, problems);
    let cooldown = duration(field!(raw.cooldown, item), 0..=24 * HOUR, usual.cooldown, problems);
    let budget = match field!(raw.budget, item) {
        Some(item) => budget(&item, problems),
        None => Some(usual.budget),
    };
    let min_up = number32(field!(raw.min_up, item), 0..=1000, usual.min_up, problems);
    let timeout = duration(field!(raw.timeout, item), SECOND..=10 * MINUTE, usual.timeout, problems);
    Some(HealSpec {
        steps: steps?,
        drain: drain?,
        verify: verify?,
        cooldown: cooldown?,
        budget: budget?,
        min_up: min_up?,
        timeout: timeout?,
    })
}

/// `3/10m`.
fn budget(item: &Item, problems: &mut Problems) -> Option<Budget> {
    let text = text(item, problems)?;
    let parts = text.split_once('/').and_then(|(count, window)| {
        let window = window.trim();
        // `3/h` is three an hour.
        let window =
            if window.starts_with(|c: char| c.is_ascii_digit()) { window.to_owned() } else { format!("1{window}") };
        Some((count.trim().parse::<u32>().ok()?, parse_duration(&window).ok()?))
    });
    let Some((count, window)) = parts else {
        let problem = Problem::new(&item.place, format!("{} is not a budget", quoted(&text)));
        return problems.add(problem.help("use COUNT/PERIOD, such as `3/10m`"));
    };
    let longest = Duration::from_millis(24 * HOUR);
    if (1..=100).contains(&count) && (Duration::from_secs(1)..=longest).contains(&window) {
        return Some(Budget { count, window });
    }
    let problem = Problem::new(
        &item.place,
        format!("`budget` is {}; the count must be 1 to 100 and the period 1s to 24h", quoted(&text)),
    );
    problems.add(problem.help("to disable healing, write `heal: off`"))
}
