//! `benches/RESULTS.md`: a section for each scenario. A run replaces the sections it measured and leaves the others.

mod table;
mod verdict;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::chart::{self, Bar};
use crate::load::oha;
use crate::peer::{Kind, version_of};
use crate::results::{Metric, Results};
use crate::scenario::{self, Scenario};
use crate::settings::Settings;

pub use table::table;
pub use verdict::verdicts;

use table::name;

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
    let latencies = ("oha".to_owned(), oha(settings), "--version");
    for (name, program, flag) in tools.into_iter().chain([latencies]) {
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
  the median of the ratios within each round, with the least and the most. *Origin's* is what the backend spent on the same
  requests, and *both* the sum: a proxy may look cheap by leaving work to the backend, in the kernel above all.
- *Tuned* proxies are set for speed, send the same forwarded fields and write no access log; *tuned, with log* write one, its
  lines gathered; *as used* is a usual file, with an access log. Remora has everything on: routing by path, round robin over checked backends, forwarded fields, request
  id, access log, metrics, admin listener, all deadlines.
- Latencies are those of `oha` at a fixed rate with correction for coordinated omission; of events, from the origin's write to
  the client's read.

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
