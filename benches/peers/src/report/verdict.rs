//! What Remora reached, a line each, which the summary repeats.

use super::VERDICT;
use super::table::{against, of_case};
use crate::peer::{BASELINE, LOGGING, REMORA};
use crate::results::{Line, Metric, Results};
use crate::scenario::Target;
use crate::stats::Ratio;

/// What Remora reached, against what it is to reach.
pub fn verdicts(results: &Results) -> Vec<String> {
    let ours: Vec<&Line> = results.lines.iter().filter(|line| line.peer == REMORA).collect();
    let title = results.scenario.title;
    let mut verdicts: Vec<String> = match results.scenario.target {
        Target::Nothing | Target::CpuRatio(..) => ours.iter().map(|line| cpu_verdict(results, line)).collect(),
        Target::Megabytes(limits) => ours
            .iter()
            .zip(limits)
            .map(|(line, (most, stretch))| {
                let case = line.case.map_or_else(String::new, |case| of_case(case, results));
                at_most(&format!("{case}: MB resident while idle"), line.value(Metric::Resident), *most, Some(*stretch))
            })
            .collect(),
        Target::CpuOfLastCase(most) => {
            let samples = |line: Option<&&Line>| line.and_then(|line| line.samples.get(&Metric::CpuMicros)).cloned();
            let ratio = match (samples(ours.last()), samples(ours.get(1))) {
                (Some(last), Some(second)) => Ratio::paired(&last, &second).map(|ratio| ratio.median),
                _ => None,
            };
            vec![at_most(&format!("{title}: CPU per request of the last case × that of the second"), ratio, most, None)]
        }
        Target::IdleShare(most) => {
            let share = ours.last().and_then(|line| line.value(Metric::IdleShare));
            vec![at_most(&format!("{title}: % of a core, idle, last case"), share, most, None)]
        }
        Target::Throughput(least) => throughput_verdicts(results, &ours, least),
    };
    for line in ours.iter().filter(|line| line.errors != 0) {
        verdicts.push(format!("{VERDICT}, {title}: {} errors**; the figures are not to be trusted", line.errors));
    }
    verdicts
}

fn cpu_verdict(results: &Results, line: &Line) -> String {
    let case = line.case.map_or_else(String::new, |case| format!(", {}", of_case(case, results)));
    let what = format!("{}{case}: CPU per request × tuned nginx", results.scenario.title);
    let ratio = against(results, line, Metric::CpuMicros, BASELINE);
    let median = |metric, peer| against(results, line, metric, peer).map(|ratio| format!("{:.2}", ratio.median));
    let mut more: Vec<String> =
        ratio.iter().map(|ratio| format!("rounds {:.2} to {:.2}", ratio.least, ratio.most)).collect();
    more.extend(median(Metric::CpuMicros, LOGGING).map(|ratio| format!("× nginx with its log {ratio}")));
    more.extend(median(Metric::BothMicros, BASELINE).map(|ratio| format!("with the origin's CPU {ratio}")));
    let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
    let ratio = ratio.map(|ratio| ratio.median);
    match results.scenario.target {
        Target::CpuRatio(most, stretch) => at_most(&what, ratio, most, Some(stretch)) + &more,
        _ => format!(
            "{VERDICT}, {what}: {}**{more}",
            ratio.map_or("not available".into(), |ratio| format!("{ratio:.2}"))
        ),
    }
}

fn throughput_verdicts(results: &Results, ours: &[&Line], least: f64) -> Vec<String> {
    let of = |metric| ours.first().and_then(|line| against(results, line, metric, BASELINE)).map(|ratio| ratio.median);
    let title = results.scenario.title;
    let rate = match of(Metric::PerSecond) {
        None => "not available**".to_owned(),
        Some(rate) => {
            format!("{rate:.2}**; at least {least}: {}", if least <= rate { "reached" } else { "not reached" })
        }
    };
    let mut verdicts = vec![
        format!("{VERDICT}, {title}: requests/s × tuned nginx: {rate}"),
        at_most(&format!("{title}: p99 at half load × tuned nginx"), of(Metric::P99), 1.0, None),
    ];
    for line in ours.iter().skip(1) {
        let baseline = results.lines.iter().find(|other| other.peer == BASELINE && other.case == line.case);
        let idlest = |line: &Line| {
            let cores = [Metric::IdleCore0, Metric::IdleCore1].map(|metric| line.value(metric).unwrap_or(0.0));
            format!("{:.0} %", cores[0].max(cores[1]))
        };
        let (case, its) = (line.case.unwrap_or(0), baseline.map_or_else(|| "not available".into(), idlest));
        let ours = idlest(line);
        verdicts.push(format!("{VERDICT}, {title}: idlest core with {case} connections: {ours}**; tuned nginx: {its}"));
    }
    verdicts
}

fn at_most(what: &str, value: Option<f64>, most: f64, stretch: Option<f64>) -> String {
    let Some(value) = value else { return format!("{VERDICT}, {what}: not available**") };
    let reached = match stretch {
        Some(stretch) if value <= stretch => format!("reached, and the stretch of {stretch}"),
        Some(stretch) if value <= most => format!("reached, not the stretch of {stretch}"),
        None if value <= most => "reached".to_owned(),
        _ => "not reached".to_owned(),
    };
    format!("{VERDICT}, {what}: {value:.2}**; at most {most}: {reached}")
}
