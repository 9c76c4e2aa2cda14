//! When to look at the files again: on events of their folders, and every two seconds for mounts that give none.
//!
//! Folders are watched, not files: editors replace a file by a rename, and Kubernetes swaps a symlink beside it.
//! An event only means "look"; a reload is asked for when the bytes differ and have come to rest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::fingerprint;
use super::interest::Interest;
use super::load::WatchSet;
use super::request::{ReloadHandle, ReloadOrigin};

/// The files must stay the same this long before they are read.
const QUIET: Duration = Duration::from_millis(150);
/// They are read after this long even if they keep changing.
const SETTLE_MOST: Duration = Duration::from_secs(1);
/// How often `stat` is asked, for file systems without events.
const POLL: Duration = Duration::from_secs(2);

/// Asks for a reload whenever the watched files differ from before, until dropped.
pub(super) async fn run(sets: watch::Receiver<WatchSet>, requests: ReloadHandle) {
    FileWatch::new(sets, requests, Folders::new).run().await;
}

struct FileWatch {
    sets: watch::Receiver<WatchSet>,
    requests: ReloadHandle,
    events: Arc<Notify>,
    folders: Folders,
    set: Arc<WatchSet>,
    seen: u64,
    signature: u64,
}

impl FileWatch {
    fn new(
        mut sets: watch::Receiver<WatchSet>,
        requests: ReloadHandle,
        folders: impl FnOnce(&Arc<Notify>) -> Folders,
    ) -> Self {
        let events = Arc::new(Notify::new());
        let folders = folders(&events);
        let set = Arc::new(sets.borrow_and_update().clone());
        Self { sets, requests, events, folders, set, seen: 0, signature: 0 }
    }

    async fn run(mut self) {
        self.adopt().await;
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = self.sets.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let next = self.sets.borrow_and_update().clone();
                    if next != *self.set {
                        self.set = Arc::new(next);
                        self.adopt().await;
                    }
                    continue;
                }
                () = self.events.notified() => {}
                _ = poll.tick() => {
                    let now = self.look(fingerprint::signature).await;
                    if now == self.signature {
                        continue;
                    }
                    self.signature = now;
                }
            }
            self.folders.arm(&self.set);
            let now = self.settled().await;
            if now != self.seen {
                self.seen = now;
                self.requests.request(ReloadOrigin::File);
            }
        }
    }

    /// Watches the current set. Asks once for a reload: something may have changed between the load and now.
    async fn adopt(&mut self) {
        self.folders.arm(&self.set);
        self.seen = self.look(fingerprint::content).await;
        self.signature = self.look(fingerprint::signature).await;
        self.requests.request(ReloadOrigin::File);
    }

    /// The content hash once it has stayed the same for a moment.
    async fn settled(&self) -> u64 {
        let started = Instant::now();
        let mut last = self.look(fingerprint::content).await;
        loop {
            sleep(QUIET).await;
            let now = self.look(fingerprint::content).await;
            if now == last || SETTLE_MOST <= started.elapsed() {
                return now;
            }
            last = now;
        }
    }

    /// Looks at the files on a thread that may block.
    async fn look(&self, how: fn(&WatchSet) -> u64) -> u64 {
        let set = Arc::clone(&self.set);
        tokio::task::spawn_blocking(move || how(&set)).await.unwrap_or_default()
    }
}

/// The folders the kernel tells us about.
struct Folders {
    watcher: Option<RecommendedWatcher>,
    /// Which of their events are worth a look.
    interest: Arc<ArcSwap<Interest>>,
    armed: BTreeMap<PathBuf, Option<(u64, u64)>>,
}

impl Folders {
    fn new(events: &Arc<Notify>) -> Self {
        let events = Arc::clone(events);
        let interest = Arc::new(ArcSwap::from_pointee(Interest::default()));
        let now = Arc::clone(&interest);
        let handler = move |event: notify::Result<notify::Event>| {
            if event.as_ref().map_or(true, |event| now.load().concerns(event)) {
                events.notify_one();
            }
        };
        let watcher = match notify::recommended_watcher(handler) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                log::warn!("cannot watch files ({error}); checking them every {} s instead", POLL.as_secs());
                None
            }
        };
        Self { watcher, interest, armed: BTreeMap::new() }
    }

    /// Nothing but the poll, as on a mount that gives no events.
    #[cfg(test)]
    fn silent(_: &Arc<Notify>) -> Self {
        Self { watcher: None, interest: Arc::default(), armed: BTreeMap::new() }
    }

    /// Watches what the set needs and nothing else; a folder that was replaced is watched anew.
    fn arm(&mut self, set: &WatchSet) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted = folders_of(set);
        self.interest.store(Arc::new(Interest::of(set, wanted.clone())));
        self.armed.retain(|folder, _| {
            let keep = wanted.contains(folder);
            if !keep {
                let _ = watcher.unwatch(folder);
            }
            keep
        });
        for folder in wanted {
            let now = fingerprint::identity(&folder);
            let before = self.armed.get(&folder);
            if now.is_some() && before == Some(&now) {
                continue;
            }
            if before.is_some() {
                let _ = watcher.unwatch(&folder);
            }
            let watched = watcher.watch(&folder, RecursiveMode::NonRecursive);
            if let (Err(error), None) = (&watched, before) {
                log::warn!(
                    "cannot watch {} ({error}); checking it every {} s instead",
                    folder.display(),
                    POLL.as_secs()
                );
            }
            self.armed.insert(folder, now.filter(|_| watched.is_ok()));
        }
    }
}

/// Where events about the set happen: beside each file as named, beside what it links to, and in each folder.
fn folders_of(set: &WatchSet) -> BTreeSet<PathBuf> {
    let mut folders = set.folders.clone();
    for file in &set.files {
        folders.extend(file.parent().map(own_folder));
        folders.extend(file.canonicalize().ok().as_deref().and_then(Path::parent).map(Path::to_owned));
    }
    folders
}

/// The parent of `remora.yaml` is the empty path, which means here.
fn own_folder(parent: &Path) -> PathBuf {
    if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
