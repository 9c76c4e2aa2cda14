//! Looks every second for what nobody else would tell of: upstreams without a backend that is up, logs that lose lines,
//! certificates that expire, and disks that are full.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{StatVfsMountFlags, statvfs};
use tokio::time::{MissedTickBehavior, interval};

use crate::front::tls::{Certificates, Expiry};
use crate::snapshot::SnapshotCell;
use crate::telemetry::{self, AccessLogger, Alert, AlertKind, Alerts, Losses};
use crate::upstream::{Backend, BackendState, Upstream};

use super::outages::{OutageChange, Outages, Standing};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);
/// How often certificates and disks are looked at.
const SLOWLY: Duration = Duration::from_secs(60);
/// A disk is almost full with less than this share of it left, and less than so many bytes.
const LEFT_PERCENT: u64 = 5;
const LEFT_BYTES: u64 = 1 << 30;

/// What is looked at.
pub(super) struct AlertWatch {
    pub alerts: Alerts,
    pub snapshots: Arc<SnapshotCell>,
    pub access: Arc<AccessLogger>,
    pub certificates: Vec<Arc<Certificates>>,
    /// Where this process writes files.
    pub folders: Vec<PathBuf>,
}

impl AlertWatch {
    /// Looks, without end.
    pub(super) async fn run(self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut outages, mut slowly) = (Outages::default(), None::<Instant>);
        let mut logs = [LogWatch::new("access log"), LogWatch::new("error log")];
        loop {
            ticks.tick().await;
            self.look_at_upstreams(&mut outages);
            for (watch, losses) in logs.iter_mut().zip([self.access.losses(), telemetry::log::losses()]) {
                watch.look(losses, &self.alerts);
            }
            if slowly.is_none_or(|at| SLOWLY <= at.elapsed()) {
                slowly = Some(Instant::now());
                self.look_at_certificates();
                self.look_at_disks().await;
            }
            self.alerts.settle();
        }
    }

    fn look_at_upstreams(&self, outages: &mut Outages) {
        let snapshot = self.snapshots.current();
        let upstreams = snapshot.upstreams.values().map(|upstream| (upstream.name().as_str(), standing(upstream)));
        for (name, change) in outages.look(upstreams, Instant::now()) {
            match change {
                OutageChange::Began => {
                    let upstream = snapshot.upstreams.values().find(|upstream| upstream.name().as_str() == name);
                    if let Some(upstream) = upstream {
                        self.alerts.begin(&down(upstream));
                    }
                }
                OutageChange::Ended => self.alerts.end(AlertKind::UpstreamDown, &name),
                OutageChange::Gone => self.alerts.forget(AlertKind::UpstreamDown, &name),
            }
        }
    }

    fn look_at_certificates(&self) {
        let now = SystemTime::now();
        for Expiry { file, names, until } in self.certificates.iter().flat_map(|one| one.expiries()) {
            let (file, days) = (file.display().to_string(), until.days_after(now));
            // Below two days, half a day is nearer to none than to one.
            #[expect(clippy::cast_possible_truncation, reason = "days of a calendar")]
            let days = days.floor() as i64;
            if 14 <= days {
                self.alerts.end(AlertKind::CertificateExpires, &file);
            } else {
                self.alerts.begin(&Alert::CertificateExpires { file, names, until: until.to_string(), days });
            }
        }
    }

    /// A network disk that hangs must not hang the rest.
    async fn look_at_disks(&self) {
        for folder in &self.folders {
            let asked = folder.clone();
            let looking = tokio::task::spawn_blocking(move || room(&asked));
            let Ok(Ok(Some(room))) = tokio::time::timeout(EVERY, looking).await else { continue };
            let folder = folder.display().to_string();
            if is_full(room) {
                self.alerts.begin(&Alert::DiskFull { folder, free_mib: room.free >> 20 });
            } else {
                self.alerts.end(AlertKind::DiskFull, &folder);
            }
        }
    }
}

/// Whether a log has lost lines since the last look.
struct LogWatch {
    what: &'static str,
    lost: u64,
}

impl LogWatch {
    fn new(what: &'static str) -> Self {
        Self { what, lost: 0 }
    }

    fn look(&mut self, Losses { lines, cause }: Losses, alerts: &Alerts) {
        if self.lost < lines {
            alerts.begin(&Alert::CannotWrite { what: self.what.to_owned(), cause });
        } else {
            alerts.end(AlertKind::CannotWrite, self.what);
        }
        self.lost = lines;
    }
}

/// Bytes of a disk.
#[derive(Debug, Clone, Copy)]
struct DiskRoom {
    all: u64,
    free: u64,
}

/// `None` of what cannot be written at all, such as an image's own file system that is read-only, which is always full.
fn room(folder: &Path) -> Option<DiskRoom> {
    let found = statvfs(folder).ok()?;
    let is_writable = !found.f_flag.contains(StatVfsMountFlags::RDONLY) && found.f_blocks != 0;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    is_writable.then(|| DiskRoom { all: bytes(found.f_blocks), free: bytes(found.f_bavail) })
}

fn is_full(DiskRoom { all, free }: DiskRoom) -> bool {
    free < LEFT_BYTES && free < all / 100 * LEFT_PERCENT
}

fn standing(upstream: &Upstream) -> Standing {
    let backends = upstream.backends();
    let any = |state| backends.iter().any(|backend| backend.state() == state);
    match () {
        () if any(BackendState::Up) => Standing::Up,
        () if any(BackendState::New) => Standing::Unknown,
        () => Standing::Down,
    }
}

fn down(upstream: &Upstream) -> Alert {
    let backends = upstream.backends();
    let staying: Vec<&Arc<Backend>> = backends.iter().filter(|one| one.state() != BackendState::Draining).collect();
    let cause = staying.iter().find_map(|backend| backend.last_failure()).map(|failure| failure.to_string());
    Alert::UpstreamDown {
        upstream: upstream.name().to_string(),
        backends: staying.len(),
        cause: cause.unwrap_or_default(),
        heals: upstream.spec().heal.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_by_share_and_by_bytes() {
        #[rustfmt::skip]
        let rows = [
            // all        free       full
            (100 << 30,   2 << 30,   false),
            (100 << 30,   1 << 29,   true),
            (1 << 30,     1 << 29,   false),
            (1 << 30,     1 << 25,   true),
            (1 << 30,     0,         true),
        ];
        for (all, free, full) in rows {
            assert_eq!(is_full(DiskRoom { all, free }), full, "{free} of {all}");
        }
        assert!(room(Path::new("/tmp")).is_none_or(|room| room.free <= room.all));
        assert!(room(Path::new("/nonexistent")).is_none());
    }
}
