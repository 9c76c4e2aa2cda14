//! What was done to which backend, why, and with what result; and why nothing was done. Bounded; kept in memory.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use parking_lot::Mutex;
use serde::Serialize;

use crate::docker::ContainerRef;
use crate::types::UpstreamName;

/// Ladders kept.
pub const ENTRIES_MAX: usize = 256;
/// Characters of a command's output kept with a step.
const OUTPUT_MAX: usize = 2_000;

/// The latest ladders, and the reasons why none was run.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    next_id: u64,
    entries: VecDeque<Entry>,
    idle: BTreeMap<(String, String), Idle>,
    totals: Totals,
}

/// One ladder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Counts up from 1 while the edge lives.
    pub id: u64,
    /// The upstream's name.
    pub upstream: String,
    /// The backend's address.
    pub backend: String,
    /// Name and id of its container.
    pub container: String,
    /// The container's short id.
    pub container_id: String,
    /// What the check said.
    pub cause: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// Requests it was working on when it was taken out of rotation.
    pub in_flight: usize,
    /// Requests that were still unfinished when the first step ran.
    pub in_flight_after_drain: usize,
    /// How long they were waited for.
    pub drain_ms: u64,
    /// What was tried, in order.
    pub steps: Vec<StepEntry>,
    /// How it ended.
    pub result: Outcome,
    /// From taking it out of rotation to the end.
    pub took_ms: u64,
}

/// One step of a ladder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepEntry {
    /// As the file or its presets call it.
    pub step: String,
    /// `ok`, `exit 1`, or what went wrong.
    pub outcome: String,
    /// Exit code, where there was a command that ended.
    pub code: Option<i64>,
    /// The end of what it said, control characters escaped.
    pub output: String,
    /// How long the step itself took.
    pub duration_ms: u64,
    /// How long after it the check passed; `null` when it did not.
    pub passed_after_ms: Option<u64>,
}

/// How a ladder ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Under way.
    Running,
    /// A step was followed by a check that passes.
    Healed,
    /// The check passed before any step was run.
    Recovered,
    /// Every step was tried in vain.
    Failed,
    /// No step can run in this container.
    Unrunnable,
    /// Nothing was done: Docker or the container was not to be had.
    Postponed,
    /// The backend left its upstream meanwhile.
    Left,
}

/// Why nothing is being done about a sick backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Idle {
    /// The upstream's name.
    pub upstream: String,
    /// The backend's address.
    pub backend: String,
    /// In words.
    pub reason: String,
    /// Since when that is the reason. RFC 3339, UTC.
    pub since: String,
}

/// Counts since the edge started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Ladders that ended with a check that passes.
    pub healed: u64,
    /// Ladders that did not.
    pub failed: u64,
    /// Ladders that did nothing, for a reason outside.
    pub postponed: u64,
    /// Backends given up.
    pub given_up: u64,
}

impl Journal {
    /// Opens an entry and returns its id.
    pub fn open(&self, upstream: &UpstreamName, backend: SocketAddr, container: &ContainerRef, cause: &str) -> u64 {
        let mut pages = self.0.lock();
        pages.next_id += 1;
        let id = pages.next_id;
        if ENTRIES_MAX <= pages.entries.len() {
            pages.entries.pop_front();
        }
        pages.entries.push_back(Entry {
            id,
            upstream: upstream.to_string(),
            backend: backend.to_string(),
            container: container.name.to_string(),
            container_id: container.id.short().to_owned(),
            cause: cause.to_owned(),
            started_at: rfc3339(SystemTime::now()),
            in_flight: 0,
            in_flight_after_drain: 0,
            drain_ms: 0,
            steps: Vec::new(),
            result: Outcome::Running,
            took_ms: 0,
        });
        pages.idle.remove(&(upstream.to_string(), backend.to_string()));
        id
    }

    /// Changes an entry, if it is still kept.
    pub fn edit(&self, id: u64, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.0.lock().entries.iter_mut().rev().find(|entry| entry.id == id) {
            change(entry);
        }
    }

    /// Closes an entry and counts it.
    pub fn close(&self, id: u64, result: Outcome, took: Duration) {
        self.edit(id, |entry| {
            entry.result = result;
            entry.took_ms = millis(took);
        });
        let mut pages = self.0.lock();
        match result {
            Outcome::Healed => pages.totals.healed += 1,
            Outcome::Failed | Outcome::Unrunnable => pages.totals.failed += 1,
            Outcome::Recovered | Outcome::Postponed | Outcome::Left => pages.totals.postponed += 1,
            Outcome::Running => {}
        }
    }

    /// Counts a backend as given up.
    pub fn gave_up(&self) {
        self.0.lock().totals.given_up += 1;
    }

    /// Notes why nothing is done about a backend; `None` when there is nothing to be done.
    pub fn set_idle(&self, upstream: &UpstreamName, backend: SocketAddr, reason: Option<String>, is_new: bool) {
        let key = (upstream.to_string(), backend.to_string());
        let mut pages = self.0.lock();
        let Some(reason) = reason else {
            pages.idle.remove(&key);
            return;
        };
        let since = match pages.idle.get(&key) {
            Some(before) if !is_new => before.since.clone(),
            _ => rfc3339(SystemTime::now()),
        };
        let (upstream, backend) = key.clone();
        pages.idle.insert(key, Idle { upstream, backend, reason, since });
    }

    /// The entries, newest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.0.lock().entries.iter().rev().cloned().collect()
    }

    /// Why nothing is being done about which sick backends.
    pub fn idle(&self) -> Vec<Idle> {
        self.0.lock().idle.values().cloned().collect()
    }

    /// Counts since the edge started.
    pub fn totals(&self) -> Totals {
        self.0.lock().totals
    }
}

/// A command's output as text that is safe to show: control characters escaped, the end kept.
pub(super) fn shown(output: &str) -> String {
    let mut shown = String::new();
    for c in output.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    let over = shown.chars().count().saturating_sub(OUTPUT_MAX);
    if over == 0 { shown } else { format!("…{}", shown.chars().skip(over).collect::<String>()) }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn rfc3339(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::{ContainerId, ContainerName, ContainerState, RestartPolicy};

    fn container() -> ContainerRef {
        ContainerRef {
            id: ContainerId::parse("0123456789abcdef").unwrap(),
            name: ContainerName::parse("backend-1").unwrap(),
            state: ContainerState::Running,
            started_at: None,
            restart_policy: RestartPolicy::No,
            stop_signal: None,
            command: Vec::new(),
        }
    }

    #[test]
    fn the_journal_is_bounded_and_newest_first() {
        let journal = Journal::default();
        let (name, address) = (UpstreamName::parse("backend").unwrap(), "10.0.0.1:80".parse().unwrap());
        for _ in 0..ENTRIES_MAX + 10 {
            let id = journal.open(&name, address, &container(), "timeout");
            journal.close(id, Outcome::Healed, Duration::from_millis(7));
        }
        let entries = journal.entries();
        assert_eq!(entries.len(), ENTRIES_MAX);
        assert_eq!((entries[0].id, entries[0].took_ms), (ENTRIES_MAX as u64 + 10, 7));
        journal.edit(1, |_| panic!("an entry that is gone"));
        assert_eq!(journal.totals(), Totals { healed: ENTRIES_MAX as u64 + 10, ..Totals::default() });
    }

    #[test]
    fn entries_are_json() {
        let journal = Journal::default();
        let (name, address) = (UpstreamName::parse("backend").unwrap(), "[::1]:80".parse().unwrap());
        journal.open(&name, address, &container(), "no answer in time");
        let json = serde_json::to_value(journal.entries()).unwrap();
        assert_eq!(json[0]["backend"], "[::1]:80");
        assert_eq!(json[0]["result"], "running");
        assert_eq!(json[0]["container_id"], "0123456789ab");
        assert!(json[0]["started_at"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn the_reason_for_doing_nothing_keeps_its_time_while_it_is_the_same() {
        let journal = Journal::default();
        let (name, address) = (UpstreamName::parse("a").unwrap(), "10.0.0.1:80".parse().unwrap());
        journal.set_idle(&name, address, Some("cooling down for 9 s more".into()), true);
        let first = journal.idle();
        journal.set_idle(&name, address, Some("cooling down for 8 s more".into()), false);
        assert_eq!(journal.idle()[0].since, first[0].since);
        assert_eq!(journal.idle()[0].reason, "cooling down for 8 s more");
        journal.set_idle(&name, address, None, false);
        assert!(journal.idle().is_empty());
    }

    #[test]
    fn output_cannot_play_with_a_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb\r\nc"), "a\\u{1b}[2Jb\\r\nc");
        assert_eq!(shown(&"x".repeat(5_000)).chars().count(), OUTPUT_MAX + 1);
    }
}
