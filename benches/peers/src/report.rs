//! `benches/RESULTS.md`: a section for each scenario. A run replaces the sections it measured and leaves the others.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::chart::{self, Bar};
use crate::peer::{BASELINE, Kind, REMORA, version_of};
use crate::results::{Line, Metric, Results};
use crate::scenario::{self, Scenario, Target};
use crate::settings::Settings;
use crate::stats::Ratio;

/// Columns of the tables; those that no line has are left out.
const COLUMNS: [(Metric, &str, usize); 14] = [
    (Metric::CpuMicros, "CPU µs/request", 2),
    (Metric::PerSecond, "requests/s", 0),
    (Metric::Busy, "of a core, %", 0),
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
/// Marks the lines that the summary repeats.
const VERDICT: &str = "- **Remora";

/// Writes a scenario's section and chart.
pub fn write(results: &Results, settings: &Settings) -> anyhow::Result<()> {
    let folder = settings.root.join("benches");
    fs::create_dir_all(folder.join("charts"))?;
    let charts = charts(results);
    for (name, svg) in &charts {
        fs::write(folder.join("charts").join(name), svg)?;
    }
    let section = section(results, settings, charts.iter().map(|(name, _)| name.as_str()));
    replace(results.scenario.title, &section, settings)
}

/// Writes a section that says why a scenario was not run.
pub fn write_failure(scenario: &Scenario, why: &str, settings: &Settings) -> anyhow::Result<()> {
    let title = scenario.title;
    replace(title, &format!("{title}\n\n{VERDICT}, {title}: not run**: {why}\n"), settings)
}

fn replace(title: &str, section: &str, settings: &Settings) -> anyhow::Result<()> {
    let path = settings.root.join("benches/RESULTS.md");
    let old = fs::read_to_string(&path).unwrap_or_default();
    fs::write(&path, format!("{}\n{}", head(settings), merge(&old, title, section))).context("RESULTS.md")
}

/// Puts a section in its place among those of an earlier file; returns them all, after a summary of what they say.
fn merge(old: &str, title: &str, section: &str) -> String {
    let mut sections: Vec<(&str, &str)> = Vec::new();
    for part in old.split("\n## ").skip(1) {
        sections.push((part.lines().next().unwrap_or_default(), part));
    }
    let (mut summary, mut body) = (String::new(), String::new());
    for scenario in scenario::all() {
        let kept = sections.iter().find(|(heading, _)| *heading == scenario.title).map(|(_, text)| *text);
        let text = if scenario.title == title { Some(section) } else { kept };
        let Some(text) = text else { continue };
        for verdict in text.lines().filter(|line| line.starts_with(VERDICT)) {
            let _ = writeln!(summary, "{verdict} ({})", scenario.name);
        }
        let _ = write!(body, "\n## {}\n", text.trim_end());
    }
    summary + &body
}

fn head(settings: &Settings) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let mut versions = String::new();
    let tools =
        [("wrk", "-v"), ("h2load", "--version")].map(|(name, flag)| (name.to_owned(), Path::new(name).into(), flag));
    let oha = ("oha".to_owned(), settings.tools.join("bin/oha"), "--version");
    for (name, program, flag) in tools.into_iter().chain([oha]) {
        let version: String = version_of(&program, flag).unwrap_or_else(|why| format!("not available: {why}"));
        let _ = writeln!(versions, "| {name} | {version} |");
    }
    for kind in Kind::ALL {
        let version = kind.version(settings).unwrap_or_else(|why| format!("not available: {why}"));
        let _ = writeln!(versions, "| {} | {version} |", kind.name());
    }
    let versions = versions.replace(&settings.root.display().to_string(), ".");
    format!(
        "# Benchmarks

Written by `make bench`; `benches/peers` is the program. Every section says when and from which commit it is.

- The proxy alone on one core, load generator and origin on another, unless the section says otherwise. All proxies of a
  section run side by side and take turns, round after round; figures are medians of the rounds.
- CPU per request is the processor time of the proxy's processes by the kernel's accounting, divided by good answers. It
  is what a core is worth, whether or not the load saturates it. Only ratios within a section mean anything: × tuned nginx is
  the median of the ratios within each round, with the least and the most.
- *Tuned* proxies are set for speed, send the same forwarded fields and write no access log; *as used* is a usual file, with
  an access log. Remora has everything on: routing by path, round robin over checked backends, forwarded fields, request
  id, access log, metrics, admin listener, all deadlines.
- Latencies are those of `oha` at a fixed rate with correction for coordinated omission.

Machine: {}, {model}, {cores} cores, Linux {}.

| program | version |
|---|---|
{versions}
## Summary
",
        std::env::consts::ARCH,
        kernel.trim(),
        model = model.trim_start_matches([' ', '\t', ':']),
    )
}

fn section<'a>(results: &Results, settings: &Settings, charts: impl Iterator<Item = &'a str>) -> String {
    let mut text = format!("{}\n\n", results.scenario.title);
    let _ = writeln!(
        text,
        "{}, commit {}, {} rounds of {} s; scenario `{}`, load `{}`\n",
        output("date", &["-u", "+%F %H:%M UTC"]),
        output("git", &["-C", &settings.root.display().to_string(), "describe", "--always", "--dirty"]),
        settings.rounds,
        settings.duration.as_secs(),
        results.scenario.name,
        results.command.replace(&settings.root.display().to_string(), "."),
    );
    text.push_str(&table(results));
    let _ = writeln!(text);
    for verdict in verdicts(results) {
        let _ = writeln!(text, "{verdict}");
    }
    let _ = writeln!(
        text,
        "- The scheduler's count of processor time and that by ticks differ by at most {:.1} %.",
        results.accounts_differ * 100.0
    );
    if let Some(share) = results.others {
        let _ = writeln!(text, "- Others took at most {share:.0} % of the proxy's core during a run.");
    }
    for line in results.lines.iter().filter(|line| !line.notes.is_empty()) {
        let notes = line.notes.join("; ").replace(&settings.root.display().to_string(), ".");
        let what = if line.available { "" } else { "not available: " };
        let _ = writeln!(text, "- {}: {what}{notes}", name(line, results).trim_end());
    }
    for chart in charts {
        let _ = writeln!(text, "\n![{}](charts/{chart})", results.scenario.title);
    }
    text
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| "unknown".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn name(line: &Line, results: &Results) -> String {
    let label = line.peer.label();
    match line.case {
        None => label,
        Some(case) => format!("{label}, {}", of_case(case, results)),
    }
}

/// `1 route`, `10 routes`.
fn of_case(case: usize, results: &Results) -> String {
    let plural = results.scenario.cases().0;
    format!("{case} {}", if case == 1 { plural.trim_end_matches('s') } else { plural })
}

/// The table of a scenario.
pub fn table(results: &Results) -> String {
    let has = |metric: Metric| results.lines.iter().any(|line| line.value(metric).is_some());
    let columns: Vec<_> = COLUMNS.into_iter().filter(|(metric, ..)| has(*metric)).collect();
    let titles: Vec<_> = columns.iter().map(|(_, title, _)| *title).collect();
    let mut text = format!("| | × tuned nginx | {} | errors |\n", titles.join(" | "));
    let _ = writeln!(text, "|---|---|{}---|", "---|".repeat(columns.len()));
    for line in &results.lines {
        let ratio = ratio(results, line, Metric::CpuMicros);
        let ratio = ratio.map_or_else(|| "—".to_owned(), |r| format!("{:.2} ({:.2}–{:.2})", r.median, r.least, r.most));
        let cells = columns.iter().map(|(metric, _, decimals)| {
            line.value(*metric).map_or_else(|| "—".to_owned(), |value| format!("{value:.decimals$}"))
        });
        let cells: Vec<_> = cells.collect();
        let errors = match (line.available, line.errors) {
            (false, _) => "not available".to_owned(),
            (true, 0) => "0".to_owned(),
            (true, errors) => format!("**{errors}**"),
        };
        let ours = if line.peer.kind == Kind::Remora { "**" } else { "" };
        let _ = writeln!(text, "| {ours}{}{ours} | {ratio} | {} | {errors} |", name(line, results), cells.join(" | "));
    }
    text
}

/// A line against tuned nginx in the same case.
fn ratio(results: &Results, line: &Line, metric: Metric) -> Option<Ratio> {
    let baseline = results.lines.iter().find(|other| other.peer == BASELINE && other.case == line.case)?;
    Ratio::paired(line.samples.get(&metric)?, baseline.samples.get(&metric)?)
}

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
    let what = format!("{}: CPU per request × tuned nginx", results.scenario.title);
    let ratio = ratio(results, line, Metric::CpuMicros);
    let spread = ratio.map_or_else(String::new, |ratio| format!(" (rounds {:.2} to {:.2})", ratio.least, ratio.most));
    let ratio = ratio.map(|ratio| ratio.median);
    match results.scenario.target {
        Target::CpuRatio(most, stretch) => at_most(&what, ratio, most, Some(stretch)) + &spread,
        _ => format!(
            "{VERDICT}, {what}: {}**{spread}",
            ratio.map_or("not available".into(), |ratio| format!("{ratio:.2}"))
        ),
    }
}

fn throughput_verdicts(results: &Results, ours: &[&Line], least: f64) -> Vec<String> {
    let of = |metric| ours.first().and_then(|line| ratio(results, line, metric)).map(|ratio| ratio.median);
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

/// Charts of a scenario: CPU per request, and memory where it was measured.
fn charts(results: &Results) -> Vec<(String, String)> {
    let scenario = results.scenario;
    let drawn = |metric: Metric, unit: &str, file: String| {
        let bars: Vec<Bar> = results
            .lines
            .iter()
            .filter_map(|line| {
                let ours = line.peer.kind == Kind::Remora;
                Some(Bar { label: name(line, results), value: line.value(metric)?, ours })
            })
            .collect();
        (!bars.is_empty()).then(|| (file, chart::draw(scenario.title, unit, bars)))
    };
    let cpu = drawn(Metric::CpuMicros, "CPU µs per request", format!("{}.svg", scenario.name));
    let memory = drawn(Metric::Resident, "resident memory, MB", format!("{}-memory.svg", scenario.name));
    cpu.into_iter().chain(memory).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_takes_the_place_of_its_predecessor() {
        let small = format!("200 B, keepalive\n\n{VERDICT}, small: 1.00**\n");
        let large = format!("100 KB, keepalive\n\n{VERDICT}, large: 2.00**\n");
        let first = merge("", "100 KB, keepalive", &large);
        let both = format!("# Benchmarks\n{}", merge(&first, "200 B, keepalive", &small));
        assert_eq!(
            merge(&both, "100 KB, keepalive", &large.replace("2.00", "3.00")),
            "- **Remora, small: 1.00** (200b)\n- **Remora, large: 3.00** (100k)\n\n\
             ## 200 B, keepalive\n\n- **Remora, small: 1.00**\n\n\
             ## 100 KB, keepalive\n\n- **Remora, large: 3.00**\n"
        );
    }
}
