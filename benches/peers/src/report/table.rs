//! The table of a scenario.

use std::fmt::Write;

use crate::peer::{BASELINE, Kind, Peer};
use crate::results::{Line, Metric, Results};
use crate::stats::Ratio;

/// Columns of the tables; those that no line has are left out.
const COLUMNS: [(Metric, &str, usize); 21] = [
    (Metric::CpuMicros, "CPU µs/request", 2),
    (Metric::OriginMicros, "origin's", 2),
    (Metric::BothMicros, "both", 2),
    (Metric::PerSecond, "requests/s", 0),
    (Metric::Busy, "of a core, %", 0),
    (Metric::PostFirst, "POST/s, first 10 s", 0),
    (Metric::PostLast, "POST/s, last 10 s", 0),
    (Metric::GetFirst, "GET/s, first 10 s", 0),
    (Metric::GetLast, "GET/s, last 10 s", 0),
    (Metric::TimeWait, "in TIME_WAIT after", 0),
    (Metric::P50, "p50 ms", 2),
    (Metric::P99, "p99 ms", 2),
    (Metric::P999, "p99.9 ms", 2),
    (Metric::AnsweredPerSecond, "at requests/s", 0),
    (Metric::AtRest, "RSS at start, MB", 1),
    (Metric::Resident, "RSS MB", 1),
    (Metric::Proportional, "PSS MB", 1),
    (Metric::IdleShare, "idle: of a core, %", 2),
    (Metric::IdleCore0, "core 0 idle, %", 0),
    (Metric::IdleCore1, "core 1 idle, %", 0),
    (Metric::BusiestThread, "busiest thread's share, %", 0),
];
/// What a line is called.
pub fn name(line: &Line, results: &Results) -> String {
    let label = line.peer.label();
    match line.case {
        None => label,
        Some(case) => format!("{label}, {}", of_case(case, results)),
    }
}

/// `1 route`, `10 routes`.
pub fn of_case(case: usize, results: &Results) -> String {
    let plural = results.scenario.cases().0;
    format!("{case} {}", if case == 1 { plural.trim_end_matches('s') } else { plural })
}

/// The table of a scenario.
pub fn table(results: &Results) -> String {
    let has = |metric: Metric| results.lines.iter().any(|line| line.value(metric).is_some());
    let columns: Vec<_> = COLUMNS.into_iter().filter(|(metric, ..)| has(*metric)).collect();
    let titles: Vec<_> = columns.iter().map(|(_, title, _)| *title).collect();
    let mut text = format!("| | × tuned nginx | both × | {} | errors |\n", titles.join(" | "));
    let _ = writeln!(text, "|---|---|---|{}---|", "---|".repeat(columns.len()));
    for line in &results.lines {
        let none = || "—".to_owned();
        let alone = against(results, line, Metric::CpuMicros, BASELINE);
        let alone = alone.map_or_else(none, |r| format!("{:.2} ({:.2}–{:.2})", r.median, r.least, r.most));
        let both = against(results, line, Metric::BothMicros, BASELINE);
        let both = both.map_or_else(none, |r| format!("{:.2}", r.median));
        let cells = columns
            .iter()
            .map(|(metric, _, decimals)| line.value(*metric).map_or_else(none, |value| format!("{value:.decimals$}")));
        let cells: Vec<_> = cells.collect();
        let errors = match (line.available, line.errors) {
            (false, _) => "not available".to_owned(),
            (true, 0) => "0".to_owned(),
            (true, errors) => format!("**{errors}**"),
        };
        let ours = if line.peer.kind == Kind::Remora { "**" } else { "" };
        let (name, cells) = (name(line, results), cells.join(" | "));
        let _ = writeln!(text, "| {ours}{name}{ours} | {alone} | {both} | {cells} | {errors} |");
    }
    text
}

/// A line against another peer in the same case, round by round.
pub fn against(results: &Results, line: &Line, metric: Metric, peer: Peer) -> Option<Ratio> {
    let other = results.lines.iter().find(|other| other.peer == peer && other.case == line.case)?;
    Ratio::paired(line.samples.get(&metric)?, other.samples.get(&metric)?)
}
