//! What is measured, and what came of it.

use std::collections::BTreeMap;

use crate::peer::Peer;
use crate::scenario::Scenario;
use crate::stats::median;

/// What is measured of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    CpuMicros,
    /// Of the origin, for the same requests: what a proxy makes its backends work.
    OriginMicros,
    /// Of proxy and origin together.
    BothMicros,
    PerSecond,
    /// Processor time over time passed, percent.
    Busy,
    P50,
    P99,
    P999,
    AnsweredPerSecond,
    /// Answers a second, in the first and in the last ten seconds.
    PostFirst,
    PostLast,
    GetFirst,
    GetLast,
    /// Connections to the backend in TIME_WAIT on the proxy's side, when the load has ended.
    TimeWait,
    /// Resident memory before the first connection, and with all of them idle, MB.
    AtRest,
    Resident,
    /// The same with shared pages divided among those who share them.
    Proportional,
    /// Processor time over time passed while nothing is asked, percent.
    IdleShare,
    IdleCore0,
    IdleCore1,
    BusiestThread,
}

/// A proxy in a case, and what was measured of it, a value for each round.
#[derive(Debug)]
pub struct Line {
    pub peer: Peer,
    pub case: Option<usize>,
    pub samples: BTreeMap<Metric, Vec<f64>>,
    pub errors: u64,
    /// What the reader should know of it; why it took no part, first of all.
    pub notes: Vec<String>,
    pub available: bool,
}

impl Line {
    /// The median of the rounds.
    pub fn value(&self, metric: Metric) -> Option<f64> {
        self.samples.get(&metric).and_then(|samples| median(samples))
    }
}

/// What a scenario gave.
pub struct Results {
    pub scenario: Scenario,
    pub lines: Vec<Line>,
    /// A load's command, as an example.
    pub command: String,
    /// The most of the proxy's core that others had during a run, percent. They slow everyone, but not evenly.
    pub others: Option<f64>,
    /// By how much the scheduler's count of processor time differs from that by ticks, at most; a share.
    pub accounts_differ: f64,
}
