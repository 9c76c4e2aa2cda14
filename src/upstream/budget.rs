//! How many retries an upstream may still spend. Retries are a share of requests, so they cannot multiply an outage.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::types::Percent;

/// One retry, in thousandths.
const RETRY: i64 = 1_000;
/// Retries that may be saved up: a replica that stops resets all that waits in its backlog at once.
const SAVED_MAX: i64 = 1_000 * RETRY;
/// Retries that a new budget starts with, so that a quiet upstream can retry at all.
const SAVED_FIRST: i64 = 250 * RETRY;

/// A bucket that each request fills by a share of a retry.
#[derive(Debug)]
pub struct RetryBudget {
    saved: AtomicI64,
    per_request: i64,
}

impl RetryBudget {
    /// A bucket with the first reserve in it. A share of 0 allows no retry at all.
    pub fn new(share: Percent) -> Self {
        let per_request = i64::from(share.0) * RETRY / 100;
        Self { saved: AtomicI64::new(if per_request == 0 { 0 } else { SAVED_FIRST }), per_request }
    }

    /// Counts a request.
    pub fn deposit(&self) {
        if self.saved.load(Ordering::Relaxed) < SAVED_MAX {
            self.saved.fetch_add(self.per_request, Ordering::Relaxed);
        }
    }

    /// Takes one retry out, if there is one.
    pub fn withdraw(&self) -> bool {
        if self.saved.fetch_sub(RETRY, Ordering::Relaxed) >= RETRY {
            return true;
        }
        self.saved.fetch_add(RETRY, Ordering::Relaxed);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_requests_may_be_tried_again() {
        let budget = RetryBudget::new(Percent(20));
        assert_eq!((0..500).filter(|_| budget.withdraw()).count(), 250);
        for _ in 0..10 {
            budget.deposit();
        }
        assert_eq!((0..10).filter(|_| budget.withdraw()).count(), 2);
        assert!(!RetryBudget::new(Percent(0)).withdraw());
    }
}
