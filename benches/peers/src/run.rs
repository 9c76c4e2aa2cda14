//! Runs scenarios: every proxy is started, then all take turns, round after round.

use std::collections::BTreeMap;
use std::fs::{self, File};

use anyhow::{Context, bail, ensure};

use crate::account::Memory;
use crate::isolate;
use crate::peer::BASELINE;
use crate::report;
use crate::results::{Line, Metric, Results};
use crate::scenario::{self, Scenario, Vary};
use crate::settings::Settings;
use crate::start::{self, Ports, of_case};
use crate::turns::{self, Contender};

/// Rounds of a scenario in a namespace, at most: each takes a minute for each proxy, and the wait for used up ports.
const ISOLATED_ROUNDS: usize = 2;

/// The whole suite, or what `ONLY` names: `RESULTS.md` and charts.
pub fn suite(settings: &Settings) -> anyhow::Result<()> {
    let _alone = alone(settings)?;
    let mut failed = Vec::new();
    for scenario in chosen(settings)? {
        if let Err(error) = if scenario.isolated { outside(&scenario, "run") } else { written(&scenario, settings) } {
            println!("{}: {error:#}", scenario.name);
            failed.push(scenario.name);
        }
    }
    ensure!(failed.is_empty(), "not run: {}", failed.join(", "));
    Ok(())
}

/// Measures a scenario and writes its section, or why there is none.
fn written(scenario: &Scenario, settings: &Settings) -> anyhow::Result<()> {
    match run(scenario, settings, true) {
        Ok(results) => report::write(&results, settings),
        Err(error) => {
            report::write_failure(scenario, &format!("{error:#}"), settings)?;
            Err(error.context("not run"))
        }
    }
}

/// Has a scenario run in a namespace; says so where there can be none, which is no failure.
fn outside(scenario: &Scenario, how: &str) -> anyhow::Result<()> {
    if let Some(why) = isolate::hindrance() {
        println!("{}: SKIPPED: {why}", scenario.name);
        return Ok(());
    }
    isolate::again(scenario, how)
}

/// One scenario, in the namespace that this process was started in; `how` is `run` or `quick`. The suite waits meanwhile.
pub fn isolated(how: &str, name: &str, settings: &Settings) -> anyhow::Result<()> {
    let scenario = scenario::all().into_iter().find(|scenario| scenario.name == name && scenario.isolated);
    let scenario = scenario.with_context(|| format!("`{name}` is no scenario for a namespace"))?;
    let count = scenario.peers(&settings.peers).len() * scenario.cases().1.len();
    isolate::furnish(u16::try_from(count)?)?;
    let rounds = settings.rounds.min(ISOLATED_ROUNDS);
    let settings = Settings { duration: settings.post_duration, rounds, ..settings.clone() };
    if how == "run" {
        return written(&scenario, &settings);
    }
    println!("\n{}", summary(&run(&scenario, &settings, false)?));
    Ok(())
}

/// Two scenarios beside tuned nginx, printed and not written down.
pub fn quick(settings: &Settings) -> anyhow::Result<()> {
    let _alone = alone(settings)?;
    let mut settings = settings.clone();
    if settings.only.is_empty() {
        settings.only = vec!["200b".into(), "close".into()];
    }
    if settings.peers.is_empty() {
        settings.peers = vec![BASELINE.key()];
    }
    let mut summaries = Vec::new();
    for scenario in chosen(&settings)? {
        if scenario.isolated {
            outside(&scenario, "quick")?;
        } else {
            summaries.push(summary(&run(&scenario, &settings, false)?));
        }
    }
    println!("\n{}", summaries.join("\n"));
    Ok(())
}

fn summary(results: &Results) -> String {
    format!("{}\n{}", report::table(results), report::verdicts(results).join("\n"))
}

/// Two runs at a time would use the same files, and spoil each other's figures. Held until it is dropped.
fn alone(settings: &Settings) -> anyhow::Result<File> {
    fs::create_dir_all(&settings.tools)?;
    let lock = File::create(settings.tools.join("lock"))?;
    lock.try_lock().context("another run is under way")?;
    Ok(lock)
}

fn chosen(settings: &Settings) -> anyhow::Result<Vec<Scenario>> {
    let all = scenario::all();
    let names: Vec<_> = all.iter().map(|scenario| scenario.name).collect();
    if let Some(unknown) = settings.only.iter().find(|name| !names.contains(&name.as_str())) {
        bail!("there is no scenario `{unknown}`; there are {}", names.join(", "));
    }
    let chosen = |scenario: &Scenario| settings.only.is_empty() || settings.only.iter().any(|n| n == scenario.name);
    Ok(all.into_iter().filter(chosen).collect())
}

fn run(scenario: &Scenario, settings: &Settings, with_latencies: bool) -> anyhow::Result<Results> {
    println!("== {}: {}", scenario.name, scenario.title);
    if settings.work.exists() {
        fs::remove_dir_all(&settings.work)?;
    }
    fs::create_dir_all(&settings.work)?;
    let certificate = if scenario.tls { Some(start::certificate(settings)?) } else { None };
    let ports = Ports::free(scenario)?;
    let mut origin = start::origin(scenario, settings, ports)?;
    let mut lines = Vec::new();
    let mut contenders = Vec::new();
    for case in scenario.cases().1 {
        for peer in scenario.peers(&settings.peers) {
            let mut line =
                Line { peer, case, samples: BTreeMap::new(), errors: 0, notes: Vec::new(), available: false };
            let number = u16::try_from(lines.len())?;
            let setup = start::setup(scenario, settings, ports, certificate.clone(), case, number);
            match start::proxy(peer, scenario, case, &setup, settings) {
                Ok((process, aim, notes)) => {
                    line.notes = notes;
                    line.available = true;
                    if let Vary::OpenConnections(_) = scenario.vary {
                        let rss = Memory::of(process.id()).rss as f64 / 1e6;
                        line.samples.insert(Metric::AtRest, vec![rss]);
                    }
                    contenders.push(Contender { line: lines.len(), case, process, aim, host: setup.host });
                }
                Err(why) => {
                    println!("{}{}: not available: {why}", peer.label(), of_case(case));
                    line.notes.push(why);
                }
            }
            lines.push(line);
        }
    }
    let mut results =
        Results { scenario: *scenario, lines, command: String::new(), others: None, accounts_differ: 0.0 };
    if let Some(first) = contenders.first() {
        let command = scenario.load(first.case).command(&first.aim, settings)?;
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        results.command = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    }
    if let Vary::Backends(_) = scenario.vary {
        turns::watch_idle(&contenders, &mut results);
    }
    turns::take_all(&contenders, origin.id(), &mut results, settings);
    if with_latencies {
        turns::take_latencies(&contenders, &mut results, settings);
    }
    ensure!(!origin.has_ended(), "the origin ended: {}", origin.last_words());
    for contender in &mut contenders {
        if contender.process.has_ended() {
            let line = &mut results.lines[contender.line];
            line.errors += 1;
            line.notes.push(format!("ended before it was asked to: {}", contender.process.last_words()));
        }
    }
    Ok(results)
}
