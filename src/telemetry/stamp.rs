//! What time a line shows: formatted once a second on each thread. Never moves backwards on its own.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Local, SecondsFormat, Utc};

/// `2026-11-21T08:00:00.123Z`
pub fn rfc3339(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// One second, formatted in the local time zone.
#[derive(Debug, Default)]
pub(super) struct Stamp {
    second: Option<u64>,
    common: String,
    date_time: String,
    offset: String,
}

thread_local! {
    static STAMP: RefCell<Stamp> = RefCell::default();
}

impl Stamp {
    /// Runs `work` with the second of `time` and its milliseconds.
    pub(super) fn at<T>(time: SystemTime, work: impl FnOnce(&Stamp, u32) -> T) -> T {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        STAMP.with_borrow_mut(|stamp| {
            if stamp.second != Some(since.as_secs()) {
                stamp.renew(since.as_secs());
            }
            work(stamp, since.subsec_millis())
        })
    }

    fn renew(&mut self, second: u64) {
        let time = DateTime::<Local>::from(UNIX_EPOCH + Duration::from_secs(second));
        self.second = Some(second);
        self.common = time.format("%d/%b/%Y:%H:%M:%S %z").to_string();
        self.date_time = time.format("%Y-%m-%dT%H:%M:%S").to_string();
        self.offset = time.format("%:z").to_string();
    }

    /// `21/Nov/2026:08:00:00 +0000`, as in nginx's `$time_local`.
    pub(super) fn common(&self) -> &str {
        &self.common
    }

    /// `2026-11-21T08:00:00`
    pub(super) fn date_time(&self) -> &str {
        &self.date_time
    }

    /// `+00:00`
    pub(super) fn offset(&self) -> &str {
        &self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_is_shown_as_itself() {
        for seconds in [0, 1_795_248_000, 1_795_248_001, 1_795_248_000] {
            let time = UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 123);
            let (common, full) = Stamp::at(time, |stamp, millis| {
                (stamp.common().to_owned(), format!("{}.{millis:03}{}", stamp.date_time(), stamp.offset()))
            });
            assert_eq!(DateTime::parse_from_rfc3339(&full).unwrap().timestamp(), seconds as i64);
            let parsed = DateTime::parse_from_str(&common, "%d/%b/%Y:%H:%M:%S %z").unwrap();
            assert_eq!(parsed.timestamp(), seconds as i64);
        }
    }

    #[test]
    fn a_clock_before_1970_is_no_failure() {
        Stamp::at(UNIX_EPOCH - Duration::from_secs(1), |stamp, _| assert!(!stamp.common().is_empty()));
    }
}
