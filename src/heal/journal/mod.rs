//! What was done to which backend, why, and with what result; and why nothing was done. Bounded; in memory, and in a file
//! where there is one.

mod entry;
mod file;
mod place;
mod proven;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use serde::Serialize;

use crate::docker::ContainerRef;
use crate::telemetry::{Alert, AlertKind, Alerts, rfc3339};
use crate::types::{UpstreamName, millis};

use super::policy::Definition;

pub use entry::{AskedBy, JournalEntry, LadderOutcome, StepEntry, StepResult};
pub(super) use entry::{parse_time, shown};
use file::{JournalLine, LineFile};
pub use place::{journal_doubt, journal_folder, journal_name, journal_path};
use proven::Proven;

/// Ladders kept.
pub const ENTRIES_MAX: usize = 256;

/// The latest ladders, and the reasons why none was run.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    next_id: u64,
    entries: VecDeque<JournalEntry>,
    idle: BTreeMap<(String, String), IdleReason>,
    /// Until when healing is paused, by upstream; `None` is all of them.
    pauses: BTreeMap<Option<String>, SystemTime>,
    proven: Proven,
    totals: Totals,
    file: Option<LineFile>,
    alerts: Alerts,
}

/// Why nothing is being done about a sick backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IdleReason {
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
    /// Times that a backend was not healed any more, or not soon: its budget was used, or no step can run.
    pub given_up: u64,
}

impl Journal {
    /// A journal that goes on where the one in this file ended. Ladders that had not ended then were interrupted.
    ///
    /// # Errors
    /// When the file cannot be written to.
    pub fn in_file(path: &Path) -> io::Result<Self> {
        let (file, lines) = LineFile::open(path)?;
        let mut pages = Pages { file: Some(file), ..Pages::of(lines) };
        let running = pages.entries.iter_mut().filter(|entry| entry.result == LadderOutcome::Running);
        running.for_each(|entry| entry.result = LadderOutcome::Interrupted);
        Ok(Self(Mutex::new(pages)))
    }

    /// What is written in this file, for a look: it is not opened for writing, and an edge may be using it.
    pub fn recorded(path: &Path) -> Self {
        Self(Mutex::new(Pages::of(file::recorded(path))))
    }

    /// Opens the file by its name again, which somebody may have moved; false where there is none.
    ///
    /// # Errors
    /// When it cannot be opened; lines go where they went.
    pub fn reopen(&self) -> io::Result<bool> {
        self.0.lock().file.as_mut().map_or(Ok(false), |file| file.reopen().map(|()| true))
    }

    /// Opens an entry and returns its id.
    pub fn open(
        &self,
        upstream: &UpstreamName,
        backend: SocketAddr,
        container: &ContainerRef,
        asked_by: AskedBy,
        cause: &str,
    ) -> u64 {
        let mut pages = self.0.lock();
        pages.next_id += 1;
        let id = pages.next_id;
        let entry = JournalEntry {
            id,
            upstream: upstream.to_string(),
            backend: backend.to_string(),
            container: container.name.to_string(),
            container_id: container.id.as_str().to_owned(),
            asked_by,
            cause: cause.to_owned(),
            logs: String::new(),
            started_at: rfc3339(SystemTime::now()),
            in_flight: 0,
            in_flight_after_drain: 0,
            drain_ms: 0,
            steps: Vec::new(),
            result: LadderOutcome::Running,
            took_ms: 0,
            requests_held: 0,
            requests_failed: 0,
        };
        pages.push(entry.clone());
        pages.write(&JournalLine::Ladder(Box::new(entry)));
        pages.idle.remove(&(upstream.to_string(), backend.to_string()));
        id
    }

    /// Changes an entry, if it is still kept.
    pub fn edit(&self, id: u64, change: impl FnOnce(&mut JournalEntry)) {
        if let Some(entry) = self.0.lock().entries.iter_mut().rev().find(|entry| entry.id == id) {
            change(entry);
        }
    }

    /// Closes an entry and counts it.
    pub fn close(&self, id: u64, result: LadderOutcome, took: Duration) {
        self.edit(id, |entry| {
            entry.result = result;
            entry.took_ms = millis(took);
        });
        let mut pages = self.0.lock();
        match result {
            LadderOutcome::Healed => pages.totals.healed += 1,
            LadderOutcome::Failed | LadderOutcome::Unrunnable => pages.totals.failed += 1,
            LadderOutcome::Recovered | LadderOutcome::Postponed | LadderOutcome::Left => pages.totals.postponed += 1,
            LadderOutcome::Running | LadderOutcome::Interrupted => {}
        }
        let closed = pages.entries.iter().rev().find(|entry| entry.id == id).cloned();
        if let Some(entry) = closed {
            if matches!(result, LadderOutcome::Healed | LadderOutcome::Failed | LadderOutcome::Unrunnable) {
                let JournalEntry { upstream, backend, container, took_ms, .. } = &entry;
                let (word, seconds) = (result.word(), Duration::from_millis(*took_ms).as_secs_f64());
                let text = format!("remora: heal of {backend} of {upstream} ({container}): {word} in {seconds:.1}s");
                pages.alerts.heal_ended(text, &serde_json::to_value(&entry).unwrap_or_default());
            }
            pages.write(&JournalLine::Ladder(Box::new(entry)));
        }
    }

    /// The entry with this id, if it is still kept.
    pub fn entry(&self, id: u64) -> Option<JournalEntry> {
        self.0.lock().entries.iter().rev().find(|entry| entry.id == id).cloned()
    }

    /// Pauses healing of an upstream, or of all, until then; `None` ends the pause.
    pub fn pause(&self, upstream: Option<&UpstreamName>, until: Option<SystemTime>) {
        let mut pages = self.0.lock();
        let upstream = upstream.map(ToString::to_string);
        pages.pauses.remove(&upstream);
        pages.pauses.extend(until.map(|until| (upstream.clone(), until)));
        pages.write(&JournalLine::Pause { upstream, until: until.map(rfc3339) });
    }

    /// How long healing of an upstream is paused, by its own pause or that of all.
    pub fn paused(&self, upstream: &UpstreamName, now: SystemTime) -> Option<Duration> {
        let pages = self.0.lock();
        if pages.pauses.is_empty() {
            return None;
        }
        let own = pages.pauses.get(&Some(upstream.to_string()));
        let until = own.into_iter().chain(pages.pauses.get(&None)).max()?;
        until.duration_since(now).ok().filter(|left| !left.is_zero())
    }

    /// The pauses in force: which upstream, `None` is all, and until when.
    pub fn pauses(&self, now: SystemTime) -> Vec<(Option<String>, SystemTime)> {
        let pages = self.0.lock();
        pages.pauses.iter().filter(|(_, until)| now < **until).map(|(of, until)| (of.clone(), *until)).collect()
    }

    /// Counts a backend that is not healed any more, or not soon, and alerts once until it is up again.
    pub fn gave_up(&self, upstream: &UpstreamName, backend: SocketAddr, why: &str) {
        let mut pages = self.0.lock();
        pages.totals.given_up += 1;
        let (upstream, backend) = (upstream.to_string(), backend.to_string());
        pages.alerts.begin(&Alert::NotHealed { upstream, backend, reason: why.to_owned() });
    }

    /// Tells of every heal that ended, of everyone who is not healed any more, or not soon, and of lines that the file does
    /// not take, from now on.
    pub fn tell(&self, alerts: Alerts) {
        self.0.lock().alerts = alerts;
    }

    /// Notes why nothing is done about a backend; `None` when there is nothing to be done.
    pub fn set_idle(&self, upstream: &UpstreamName, backend: SocketAddr, reason: Option<String>, is_new: bool) {
        let key = (upstream.to_string(), backend.to_string());
        let mut pages = self.0.lock();
        let Some(reason) = reason else {
            pages.idle.remove(&key);
            pages.alerts.end(AlertKind::NotHealed, &format!("{upstream} {backend}"));
            return;
        };
        let since = match pages.idle.get(&key) {
            Some(before) if !is_new => before.since.clone(),
            _ => rfc3339(SystemTime::now()),
        };
        let (upstream, backend) = key.clone();
        pages.idle.insert(key, IdleReason { upstream, backend, reason, since });
    }

    /// Notes that a backend has passed its check under this definition; true where it is the first.
    pub fn prove(&self, definition: &Definition) -> bool {
        let mut pages = self.0.lock();
        let is_first = pages.proven.add(definition.clone());
        if is_first {
            pages.write(&JournalLine::Proven(definition.clone()));
        }
        is_first
    }

    /// True where a backend has passed its check under this definition, in this edge or in one before.
    pub fn is_proven(&self, definition: &Definition) -> bool {
        self.0.lock().proven.has(definition)
    }

    /// The newest entry of this kind.
    pub fn newest(&self, is_it: impl Fn(&JournalEntry) -> bool) -> Option<JournalEntry> {
        self.0.lock().entries.iter().rev().find(|entry| is_it(entry)).cloned()
    }

    /// The entries, newest first.
    pub fn entries(&self) -> Vec<JournalEntry> {
        self.0.lock().entries.iter().rev().cloned().collect()
    }

    /// Why nothing is being done about which sick backends.
    pub fn idle(&self) -> Vec<IdleReason> {
        self.0.lock().idle.values().cloned().collect()
    }

    /// Counts since the edge started.
    pub fn totals(&self) -> Totals {
        self.0.lock().totals
    }
}

impl Pages {
    fn of(lines: Vec<JournalLine>) -> Self {
        let mut pages = Self::default();
        for line in lines {
            match line {
                JournalLine::Ladder(entry) => pages.take_back(*entry),
                JournalLine::Proven(definition) => _ = pages.proven.add(definition),
                JournalLine::Pause { upstream, until } => {
                    pages.pauses.remove(&upstream);
                    let until = until.as_deref().and_then(entry::parse_time);
                    pages.pauses.extend(until.map(|until| (upstream, until)));
                }
            }
        }
        pages
    }

    fn push(&mut self, entry: JournalEntry) {
        if ENTRIES_MAX <= self.entries.len() {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    fn take_back(&mut self, entry: JournalEntry) {
        self.next_id = self.next_id.max(entry.id);
        match self.entries.iter_mut().rev().find(|other| other.id == entry.id) {
            Some(began) => *began = entry,
            None => self.push(entry),
        }
    }

    fn write(&mut self, line: &JournalLine) {
        let Some(file) = &mut self.file else { return };
        if file.append(line) {
            // A pause may be longer than two files last.
            for (upstream, until) in &self.pauses {
                file.append(&JournalLine::Pause { upstream: upstream.clone(), until: Some(rfc3339(*until)) });
            }
            for definition in self.proven.iter() {
                file.append(&JournalLine::Proven(definition.clone()));
            }
        }
        let what = journal_name(file.path());
        match file.failure() {
            Some(cause) => _ = self.alerts.begin(&Alert::CannotWrite { what, cause: cause.to_owned() }),
            None => self.alerts.end(AlertKind::CannotWrite, &what),
        }
    }
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
            start_period: Duration::ZERO,
        }
    }

    /// A receiver that answers and keeps the bodies of what is posted.
    fn receiver() -> (String, std::sync::mpsc::Receiver<String>) {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (sender, bodies) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let (mut text, mut buffer) = (String::new(), [0; 4096]);
                while !text.ends_with('}') {
                    let count = stream.read(&mut buffer).unwrap();
                    text.push_str(&String::from_utf8_lossy(&buffer[..count]));
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").unwrap();
                let _ = sender.send(text.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned());
            }
        });
        (url, bodies)
    }

    #[test]
    fn a_used_budget_is_posted_once_for_each_backend_and_every_heal_that_ended() {
        use crate::config::model::{AlertFormat, AlertSpec};
        let (webhook, bodies) = receiver();
        let journal = Journal::default();
        journal.tell(Alerts::start(Some(&AlertSpec { webhook, format: AlertFormat::Json })).unwrap());
        let name = UpstreamName::parse("api").unwrap();
        let (one, two) = ("10.0.0.1:80".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        for _ in 0..3 {
            journal.gave_up(&name, one, "budget used (3 heals in 600s)");
            // It is up for a moment, which does not end it.
            journal.set_idle(&name, one, None, false);
        }
        journal.gave_up(&name, two, "budget used (3 heals in 600s)");
        let id = journal.open(&name, one, &container(), AskedBy::Policy, "timed out");
        journal.close(id, LadderOutcome::Failed, Duration::from_millis(1_500));
        let next = || -> serde_json::Value {
            serde_json::from_str(&bodies.recv_timeout(Duration::from_secs(20)).unwrap()).unwrap()
        };
        for backend in ["10.0.0.1:80", "10.0.0.2:80"] {
            let post = next();
            assert!(post["event"] == "gave_up" && post["backend"] == backend && post["upstream"] == "api", "{post}");
            assert!(
                post["reason"] == "budget used (3 heals in 600s)" && post["command"] == "remora heal api",
                "{post}"
            );
        }
        let post = next();
        assert!(post["event"] == "heal_ended" && post["heal"]["cause"] == "timed out", "{post}");
        assert_eq!(post["text"], "remora: heal of 10.0.0.1:80 of api (backend-1): failed in 1.5s");
        assert_eq!(journal.totals().given_up, 4, "all are counted");
    }

    #[test]
    fn the_journal_is_bounded_and_newest_first() {
        let journal = Journal::default();
        let (name, address) = (UpstreamName::parse("backend").unwrap(), "10.0.0.1:80".parse().unwrap());
        for _ in 0..ENTRIES_MAX + 10 {
            let id = journal.open(&name, address, &container(), AskedBy::Policy, "timeout");
            journal.close(id, LadderOutcome::Healed, Duration::from_millis(7));
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
        journal.open(&name, address, &container(), AskedBy::Policy, "no answer in time");
        let json = serde_json::to_value(journal.entries()).unwrap();
        assert_eq!(json[0]["backend"], "[::1]:80");
        assert_eq!(json[0]["result"], "running");
        assert_eq!(json[0]["container_id"], "0123456789abcdef");
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
    fn what_worked_is_known_after_a_restart_and_after_a_new_file_was_begun() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heals.jsonl");
        let definition = |port| Definition { upstream: "api".into(), port, check: "tcp within 1s".into() };
        let name = UpstreamName::parse("api").unwrap();
        let journal = Journal::in_file(&path).unwrap();
        assert!(journal.prove(&definition(8000)) && !journal.prove(&definition(8000)));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1, "it is written once");
        // Two files and more.
        for _ in 0..60_000 {
            journal.pause(Some(&name), None);
        }
        drop(journal);
        let journal = Journal::in_file(&path).unwrap();
        assert!(journal.is_proven(&definition(8000)) && !journal.is_proven(&definition(8001)));
    }

    #[test]
    fn a_restart_of_the_edge_forgets_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heals.jsonl");
        let (name, address) = (UpstreamName::parse("api").unwrap(), "10.0.0.1:80".parse().unwrap());
        let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
        let first = Journal::in_file(&path).unwrap();
        let id = first.open(&name, address, &container(), AskedBy::Policy, "timeout");
        first.edit(id, |entry| entry.logs = "last words".to_owned());
        first.close(id, LadderOutcome::Healed, Duration::from_millis(7));
        first.open(&name, address, &container(), AskedBy::Policy, "timeout");
        first.pause(Some(&name), Some(now + hour));
        first.pause(None, Some(now + hour * 2));
        first.pause(None, None);
        drop(first);

        let second = Journal::in_file(&path).unwrap();
        let entries = second.entries();
        assert_eq!(
            entries.iter().map(|entry| entry.result).collect::<Vec<_>>(),
            [LadderOutcome::Interrupted, LadderOutcome::Healed]
        );
        assert_eq!((entries[1].logs.as_str(), entries[1].took_ms), ("last words", 7));
        assert_eq!(second.open(&name, address, &container(), AskedBy::Policy, "timeout"), 3);
        let left = second.paused(&name, now).unwrap();
        assert!(Duration::ZERO < left && left <= hour);
        assert_eq!(second.paused(&UpstreamName::parse("page").unwrap(), now), None);
        assert_eq!(second.pauses(now).len(), 1);
        assert!(second.pauses(now + hour).is_empty(), "a pause ends by itself");
    }
}
