//! Which conditions hold and were told of, and how much may still be posted. Pure: told the time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::condition::{Alert, AlertKind};

/// Most conditions that are kept; beyond them nothing is told.
const KEPT_MAX: usize = 4_096;
/// Most alerts that are posted in one window: where a network fails, every upstream has something to say.
const POSTS_MAX: u32 = 40;
const WINDOW: Duration = Duration::from_secs(600);

/// Conditions that hold, or were over a moment ago.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    held: HashMap<(AlertKind, String), HeldCondition>,
    window: Option<Instant>,
    posted: u32,
    unposted: u32,
}

#[derive(Debug)]
struct HeldCondition {
    alert: Alert,
    since: Instant,
    over_since: Option<Instant>,
    /// The worst that was told.
    stage: u8,
}

/// A condition that is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Over {
    pub alert: Alert,
    /// How long it held.
    pub lasted: Duration,
}

impl Ledger {
    /// Notes that a condition holds; true when that is to be told.
    pub(super) fn begin(&mut self, alert: &Alert, now: Instant) -> bool {
        let (key, is_full) = ((alert.kind(), alert.subject()), KEPT_MAX <= self.held.len());
        let stage = alert.stage();
        match self.held.get_mut(&key) {
            Some(held) => {
                held.over_since = None;
                if held.alert.version() != alert.version() {
                    // Another one; that it is no better was told of the one before.
                    held.stage = held.stage.min(stage);
                }
                held.alert = alert.clone();
                let is_worse = held.stage < stage;
                held.stage = held.stage.max(stage);
                is_worse
            }
            None if stage == 0 || is_full => false,
            None => {
                self.held.insert(key, HeldCondition { alert: alert.clone(), since: now, over_since: None, stage });
                true
            }
        }
    }

    /// Notes that a condition does not hold.
    pub(super) fn end(&mut self, kind: AlertKind, subject: &str, now: Instant) {
        if self.held.is_empty() {
            return;
        }
        if let Some(held) = self.held.get_mut(&(kind, subject.to_owned())) {
            held.over_since.get_or_insert(now);
        }
    }

    pub(super) fn forget(&mut self, kind: AlertKind, subject: &str) {
        self.held.remove(&(kind, subject.to_owned()));
    }

    /// Those that have not held for long enough.
    pub(super) fn take_over(&mut self, now: Instant) -> Vec<Over> {
        let calm = |(kind, _): &(AlertKind, String), held: &mut HeldCondition| {
            held.over_since.is_some_and(|over| kind.calm() <= now.saturating_duration_since(over))
        };
        self.held
            .extract_if(calm)
            .map(|(_, held)| {
                let until = held.over_since.unwrap_or(now);
                Over { alert: held.alert, lasted: until.saturating_duration_since(held.since) }
            })
            .collect()
    }

    /// True where one more may be posted in this window; else it is counted.
    pub(super) fn may_post(&mut self, now: Instant) -> bool {
        if self.window.is_none_or(|start| WINDOW <= now.saturating_duration_since(start)) {
            (self.window, self.posted) = (Some(now), 0);
        }
        let may = self.posted < POSTS_MAX;
        if may {
            self.posted += 1;
        } else {
            self.unposted += 1;
        }
        may
    }

    /// How many were not posted, once the window is over.
    pub(super) fn take_unposted(&mut self, now: Instant) -> Option<u32> {
        let is_over = self.window.is_none_or(|start| WINDOW <= now.saturating_duration_since(start));
        (is_over && self.unposted != 0).then(|| std::mem::take(&mut self.unposted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn down(upstream: &str) -> Alert {
        Alert::UpstreamDown { upstream: upstream.into(), backends: 2, cause: String::new(), heals: false }
    }

    #[test]
    fn what_flaps_is_told_once_and_is_over_once() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        let (mut begun, mut over) = (0, Vec::new());
        for second in 0..120 {
            let now = start + SECOND * second;
            match second {
                // Down and up in turns, then up for good.
                ..60 if second % 2 == 0 => begun += u32::from(ledger.begin(&down("api"), now)),
                _ => ledger.end(AlertKind::UpstreamDown, "api", now),
            }
            over.extend(ledger.take_over(now));
        }
        assert_eq!(begun, 1);
        assert_eq!(over, [Over { alert: down("api"), lasted: SECOND * 59 }]);
        assert!(ledger.begin(&down("api"), start + SECOND * 200), "and then it may begin again");
    }

    #[test]
    fn each_subject_is_its_own() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        assert!(ledger.begin(&down("api"), now) && ledger.begin(&down("web"), now));
        ledger.end(AlertKind::UpstreamDown, "api", now);
        assert_eq!(ledger.take_over(now + SECOND * 31).len(), 1);
        ledger.forget(AlertKind::UpstreamDown, "web");
        assert!(ledger.take_over(now + SECOND * 99).is_empty(), "what is gone is not up again");
    }

    #[test]
    fn a_certificate_is_told_at_each_stage_and_anew_when_renewed() {
        let certificate = |days, until: &str| Alert::CertificateExpires {
            file: "a.pem".into(),
            names: "a".into(),
            until: until.into(),
            days,
        };
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        let mut told = |days, until| ledger.begin(&certificate(days, until), now);
        assert_eq!(
            [20, 13, 12, 2, 2, 0, -1].map(|days| told(days, "May")),
            [false, true, false, true, false, true, true]
        );
        assert!(!told(6, "June"), "renewed for some days only: as expected");
        assert!(told(2, "June"), "and this one was not renewed");
    }

    #[test]
    fn posts_are_limited_and_the_rest_is_counted() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        let posted = (0..100).filter(|_| ledger.may_post(now)).count();
        assert_eq!((posted, ledger.take_unposted(now)), (40, None));
        assert_eq!(ledger.take_unposted(now + WINDOW), Some(60));
        assert_eq!(ledger.take_unposted(now + WINDOW), None);
        assert!(ledger.may_post(now + WINDOW));
    }
}
