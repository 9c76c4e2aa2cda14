//! Whether requests pile up unanswered at one backend while a sibling answers: then it hangs. Pure.
//!
//! What tells a replica that hangs from one that is merely slow is what went before. One that is frozen had answered in order,
//! and stops. One whose workers are all held by slow requests had been overtaking the first of these for a while; then, and
//! where answers that take long are common in the upstream, silence has to be longer. And one request that waits says nothing.

use std::time::Duration;

/// Requests without an answer that are a pile.
const PILE: usize = 4;
/// Answers that a sibling gave in the same time. Where requests fall on replicas by chance, that one of them has none while
/// the other has eight happens once in three thousand times.
const SIBLING_ANSWERS: u64 = 8;
/// Shortest silence that means anything.
const SILENCE: Duration = Duration::from_millis(250);
/// Longest silence that the slowest answers can explain.
pub const SILENCE_MAX: Duration = Duration::from_secs(10);
/// The same where no request had been overtaken: all that is slow would have had to come at once.
const SILENCE_IN_ORDER: Duration = Duration::from_millis(600);
/// Silence that requests which had been overtaken explain, however quick answers were before. By then its check has a word.
const SILENCE_OVERTAKEN: Duration = Duration::from_secs(4);
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
    /// When it fell silent, requests had waited for longer than others that were answered.
    pub overtaken: bool,
}

/// Silence that is explained by the slowest answers of late.
pub fn explained(slowest: Duration) -> Duration {
    (slowest * 3 / 2).min(SILENCE_MAX)
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
        let explained = match explained(self.slowest) {
            explained if self.overtaken => explained.max(SILENCE_OVERTAKEN),
            explained => explained.clamp(SILENCE, SILENCE_IN_ORDER),
        };
        if self.waiting < PILE || self.silence < explained {
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
            // what                                             waiting silence siblings slowest overtaken sign
            ("idle",                                                  0,      0,       0,     10, false, Sign::Nothing),
            ("frozen under load",                                    25,    250,      25,     20, false, Sign::Hangs),
            ("frozen a moment ago",                                  20,    200,      20,     20, false, Sign::Nothing),
            ("frozen under little load",                              4,    900,       9,     20, false, Sign::Hangs),
            ("frozen where some answers take 3 s",                   60,    600,      60,  3_000, false, Sign::Hangs),
            ("frozen where most take 300 ms",                        40,    450,       9,    300, false, Sign::Hangs),
            ("one long request",                                      1, 30_000,     500,     20, false, Sign::Nothing),
            ("three of them",                                         3, 30_000,     500,     20, true,  Sign::Nothing),
            ("its workers held by 3 s for the first time",          300,  2_900,     300,     20, true,  Sign::Nothing),
            ("the same, once that is known",                        300,  4_400,     300,  3_000, true,  Sign::Nothing),
            ("silent for longer than that",                         300,  4_500,     450,  3_000, true,  Sign::Hangs),
            ("long polling: the sibling has as few answers",         50,    400,       2,    100, true,  Sign::Nothing),
            ("all wait for the same database",                       50,    500,       0,     20, false, Sign::Stuck),
            ("all wait for an endpoint that is slow",                50,    900,       0,  1_000, true,  Sign::Nothing),
            ("silent for very long where polls take a minute",       50, 10_000,     100, 60_000, true,  Sign::Hangs),
        ];
        for (what, waiting, silence, sibling_answers, slowest, overtaken, sign) in rows {
            let (silence, slowest) = (Duration::from_millis(silence), Duration::from_millis(slowest));
            let queue = Queue { waiting, silence, sibling_answers, slowest, overtaken };
            assert_eq!(queue.sign(), sign, "{what}");
        }
    }
}
