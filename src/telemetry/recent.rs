//! The last lines of the error log, kept in memory for whoever asks what happened. Bounded; costs nothing but when a line is
//! written.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long a line is kept.
const KEPT_FOR: Duration = Duration::from_secs(3_600);
/// Most lines, and most bytes of one.
const LINES_MAX: usize = 2_000;
const LINE_MAX: usize = 500;

/// Lines of the last hour.
pub(super) struct RecentLines(Mutex<VecDeque<(Instant, Box<str>)>>);

impl RecentLines {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    /// Keeps a line, and forgets what is too old or too much.
    pub(super) fn keep(&self, line: &str, now: Instant) {
        let line = line.trim_end();
        let end = (0..=LINE_MAX.min(line.len())).rev().find(|end| line.is_char_boundary(*end)).unwrap_or_default();
        let mut lines = self.0.lock();
        while lines.len() >= LINES_MAX
            || lines.front().is_some_and(|(at, _)| KEPT_FOR < now.saturating_duration_since(*at))
        {
            lines.pop_front();
        }
        lines.push_back((now, line[..end].into()));
    }

    /// The lines, oldest first.
    pub(super) fn all(&self, now: Instant) -> Vec<String> {
        let lines = self.0.lock();
        let recent = lines.iter().filter(|(at, _)| now.saturating_duration_since(*at) <= KEPT_FOR);
        recent.map(|(_, line)| line.to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kept_for_an_hour_and_not_too_many() {
        let (recent, start) = (RecentLines::new(), Instant::now());
        recent.keep("old\n", start);
        recent.keep(&"ä".repeat(1_000), start + Duration::from_secs(60));
        let later = start + KEPT_FOR + Duration::from_secs(1);
        assert_eq!(recent.all(later), ["ä".repeat(250)]);
        for number in 0..LINES_MAX * 2 {
            recent.keep(&format!("{number}\n"), later);
        }
        let lines = recent.all(later);
        assert_eq!((lines.len(), lines.last().map(String::as_str)), (LINES_MAX, Some("3999")));
    }
}
