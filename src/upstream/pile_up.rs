//! Whether requests pile up unanswered at one backend while a sibling answers: then it hangs. Pure.
//!
//! What tells a replica that hangs from one that is merely slow is what its upstream does otherwise: where answers that
//! take long are common, silence means nothing until it is longer than they are. And one request that waits says nothing.

use std::time::Duration;

/// Requests without an answer that are a pile.
const PILE: usize = 4;
/// Answers that a sibling gave in the same time. Where requests fall on replicas by chance, that one of them has none while
/// the other has eight happens once in three thousand times.
const SIBLING_ANSWERS: u64 = 8;
/// Shortest silence that means anything.
const SILENCE: Duration = Duration::from_millis(250);
/// Longest silence that the slowest answers can explain: what is silent for longer is for its check to judge.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Shortest silence of all backends alike that is worth a probe.
const SILENCE_OF_ALL: Duration = Duration::from_millis(500);

/// What one backend does, and what the best of its siblings did meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct Queue {
    /// Requests that wait for the head of an answer.
    pub waiting: usize,
    /// Since its latest answer, or since it has something to answer.
    pub silence: Duration,
    /// Answers the best sibling gave in that time.
    pub sibling_answers: u64,
    /// How long the slowest answers of the upstream took lately.
    pub slowest: Duration,
}

/// What it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Nothing.
    Nothing,
    /// It answers nothing, but nobody else shows that it could: worth a probe, of what it needs too.
    Stuck,
    /// It hangs.
    Hangs,
}

impl Queue {
    /// What it means.
    pub fn sign(self) -> Sign {
        let explained = (self.slowest * 3 / 2).min(SILENCE_MAX);
        if self.waiting < PILE || self.silence < SILENCE.max(explained) {
            return Sign::Nothing;
        }
        if SIBLING_ANSWERS <= self.sibling_answers {
            Sign::Hangs
        } else if SILENCE_OF_ALL <= self.silence {
            Sign::Stuck
        } else {
            Sign::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_judged_by_what_else_the_upstream_does() {
        #[rustfmt::skip]
        let rows = [
            // what                                             waiting silence siblings slowest sign
            ("idle",                                                  0,      0,       0,     10, Sign::Nothing),
            ("frozen under load",                                    25,    250,      25,     20, Sign::Hangs),
            ("frozen a moment ago",                                  20,    200,      20,     20, Sign::Nothing),
            ("frozen under little load",                              4,    900,       9,     20, Sign::Hangs),
            ("one long request",                                      1, 30_000,     500,     20, Sign::Nothing),
            ("three of them",                                         3, 30_000,     500,     20, Sign::Nothing),
            ("busy with requests that take 3 s, as others do",      100,  2_900,     300,  3_000, Sign::Nothing),
            ("silent for longer than those",                        150,  4_600,     450,  3_000, Sign::Hangs),
            ("long polling: the sibling has as few answers",         50,    400,       2,    100, Sign::Nothing),
            ("all wait for the same database",                       50,    500,       0,     20, Sign::Stuck),
            ("all wait for an endpoint that is slow",                50,    900,       0,  1_000, Sign::Nothing),
            ("silent for very long where polls take a minute",       50, 10_000,     100, 60_000, Sign::Hangs),
        ];
        for (what, waiting, silence, sibling_answers, slowest, sign) in rows {
            let (silence, slowest) = (Duration::from_millis(silence), Duration::from_millis(slowest));
            assert_eq!(Queue { waiting, silence, sibling_answers, slowest }.sign(), sign, "{what}");
        }
    }
}
