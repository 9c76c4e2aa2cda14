//! Scenarios of which nothing may fail, on a machine that others use too.

use std::time::Instant;

use crate::load::{Load, Outcome};

/// How often an edge has said in its log that a whole service had more than it could answer, or was away for longer than
/// `hold` lets requests wait.
pub fn overloads(log: &str) -> usize {
    log.matches(" is overloaded").count() + log.matches("(hold_timeout)").count()
}

/// Does something under load, of which no more than `bearable` requests may fail; `log` is the edge's. Where the whole service
/// had more than it could answer, or took longer to come back than requests may wait, it was this machine, which others use
/// too, and it is done again, three times at most, each time with half of the load: `load` is told by what its rate is
/// divided.
pub async fn costs(
    bearable: usize,
    what: &str,
    log: impl Fn() -> String,
    load: impl Fn(u32) -> Load,
    mut doing: impl AsyncFnMut(),
) -> Outcome {
    for attempt in 1.. {
        let before = overloads(&log());
        let (load, start) = (load(1 << (attempt - 1)), Instant::now());
        doing().await;
        let took = start.elapsed().as_secs_f64();
        let outcome = load.end().await;
        let overloaded = overloads(&log()).saturating_sub(before);
        println!("{what}, {took:.1} s, {overloaded} times too slow: {outcome}, {:.0} requests/s", outcome.rate());
        if outcome.failed() <= bearable {
            return outcome;
        }
        assert!(0 < overloaded && attempt < 4, "{what}: {outcome}");
    }
    unreachable!()
}
