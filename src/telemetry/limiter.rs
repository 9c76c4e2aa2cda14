//! Keeps a warning that every request could raise to one a second, and tells how many were left out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Counts what is left out between two lines.
#[derive(Debug, Default)]
pub struct Limiter {
    second: AtomicU64,
    left_out: AtomicU64,
}

impl Limiter {
    /// `Some` with the number left out before it, when a line may be written now.
    pub fn admit(&self) -> Option<u64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.admit_at(now)
    }

    fn admit_at(&self, second: u64) -> Option<u64> {
        if self.second.swap(second, Ordering::Relaxed) == second {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.left_out.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_passes_and_the_rest_is_counted() {
        let limiter = Limiter::default();
        let admitted = [5, 5, 5, 6, 6, 7].map(|second| limiter.admit_at(second));
        assert_eq!(admitted, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
