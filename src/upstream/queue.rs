//! How requests wait for a backend while none is up, and how they are let go once one is. Pure.
//!
//! What came together while nobody was up shall not fall on the first that is: those that waited are let go a few at a time,
//! and more of them the longer it has been up. And who comes while they are let go and finds no room waits behind them: that
//! there is none says nothing of overload yet.

use std::time::Duration;

/// Requests of one upstream that may wait for a backend at a time; one more is answered at once.
pub const QUEUED_MAX: usize = 1024;
/// Requests that may wait in one backend that has just come up before those that were queued are let go to it.
const LET_GO: usize = 16;
/// How long it takes until twice as many may: where many wait at all times, it is not for those that were queued.
const TWICE_AFTER: Duration = Duration::from_millis(250);
/// How long a queue may take to drain. What finds no room after that is too much.
const DRAINS_WITHIN: Duration = Duration::from_secs(10);
/// How long an upstream that never was up is waited for: services that start together come up within this, and where none
/// did nobody expects one, such as where the file has a wrong port.
const FIRST_UP_WITHIN: Duration = Duration::from_secs(60);

/// How long a request may wait for an upstream that nobody is up of. `hold` is what its file says, `age` how long it is there.
pub fn patience(hold: Duration, was_up: bool, age: Duration) -> Duration {
    if was_up || age < FIRST_UP_WITHIN { hold } else { Duration::ZERO }
}

/// Requests that may wait in one backend before those that were queued have to. `since` is how long ago the first backend
/// came up to a queue; `None`: nobody waited.
pub fn crowd(since: Option<Duration>) -> usize {
    let Some(since) = since else { return usize::MAX };
    let doublings = since.as_millis() / TWICE_AFTER.as_millis();
    match u32::try_from(doublings) {
        Ok(doublings) if LET_GO << doublings.min(16) < QUEUED_MAX => LET_GO << doublings,
        _ => usize::MAX,
    }
}

/// True while a queue drains: who finds no room may wait too, instead of being refused.
pub fn drains(since: Option<Duration>) -> bool {
    since.is_some_and(|since| since < DRAINS_WITHIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_never_was_up_is_waited_for_only_at_first() {
        let hold = Duration::from_secs(10);
        #[rustfmt::skip]
        let rows = [
            // was up  age, s   waits, s
            (false,    0,       10),
            (false,    59,      10),
            (false,    60,      0),
            (true,     60,      10),
            (true,     100_000, 10),
        ];
        for (was_up, age, waits) in rows {
            let found = patience(hold, was_up, Duration::from_secs(age));
            assert_eq!(found, Duration::from_secs(waits), "was up: {was_up}, {age} s old");
        }
    }

    #[test]
    fn a_queue_is_let_go_a_few_at_a_time_and_more_by_and_by() {
        #[rustfmt::skip]
        let rows = [
            // up for, ms      crowd       who finds no room waits
            (None,             usize::MAX, false),
            (Some(0),          16,         true),
            (Some(249),        16,         true),
            (Some(250),        32,         true),
            (Some(1_000),      256,        true),
            (Some(1_499),      512,        true),
            (Some(1_500),      usize::MAX, true),
            (Some(9_999),      usize::MAX, true),
            (Some(10_000),     usize::MAX, false),
            (Some(10_000_000), usize::MAX, false),
        ];
        for (since, most, waits) in rows {
            let since = since.map(Duration::from_millis);
            assert_eq!((crowd(since), drains(since)), (most, waits), "{since:?}");
        }
    }
}
