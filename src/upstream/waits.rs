//! How many requests wait for the head of an answer, and for how long together: one word, so that both are of one moment.

use std::sync::atomic::{AtomicU64, Ordering};

/// One request, above the bits of the sum.
const ONE: u64 = 1 << 40;

/// The count, and the sum of the beats at which they began.
#[derive(Debug, Default)]
pub struct Waits(AtomicU64);

impl Waits {
    /// One more waits, since `beat`. True when it is the only one.
    pub fn enter(&self, beat: u16) -> bool {
        self.0.fetch_add(ONE + u64::from(beat), Ordering::Relaxed) < ONE
    }

    /// One that waited since `beat` does so no more.
    pub fn leave(&self, beat: u16) {
        self.0.fetch_sub(ONE + u64::from(beat), Ordering::Relaxed);
    }

    /// How many wait.
    pub fn count(&self) -> usize {
        usize::try_from(self.0.load(Ordering::Relaxed) / ONE).unwrap_or(usize::MAX)
    }

    /// How many wait, and how many beats all of them together have waited. Beats begin anew after 65536: what waited then
    /// counts as young.
    pub fn ages(&self, beat: u16) -> (usize, u64) {
        let word = self.0.load(Ordering::Relaxed);
        let (count, sum) = (word / ONE, word % ONE);
        (usize::try_from(count).unwrap_or(usize::MAX), (count * u64::from(beat)).saturating_sub(sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_wait_are_counted_with_their_ages() {
        let waits = Waits::default();
        assert_eq!((waits.enter(5), waits.enter(8), waits.enter(10)), (true, false, false));
        assert_eq!((waits.count(), waits.ages(10)), (3, (3, 7)));
        waits.leave(5);
        assert_eq!(waits.ages(20), (2, 22));
        waits.leave(10);
        waits.leave(8);
        assert_eq!((waits.count(), waits.ages(u16::MAX)), (0, (0, 0)));
        assert!(waits.enter(u16::MAX));
        assert_eq!(waits.ages(3), (1, 0), "after a turn of the counter");
    }
}
