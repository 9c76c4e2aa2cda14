//! The turns of a round: one load after another, and what the kernel says of each.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::account::{self, Memory, Usage};
use crate::isolate;
use crate::load::{self, Aim, Started};
use crate::peer::BASELINE;
use crate::process::Running;
use crate::results::{Metric, Results};
use crate::scenario::Rate;
use crate::settings::Settings;
use crate::start::of_case;

/// How long load runs before anything counts.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long idle proxies are watched.
const IDLE: Duration = Duration::from_secs(10);
/// How long open connections are left alone before memory is read.
const SETTLE: Duration = Duration::from_secs(2);

/// A proxy that runs.
pub struct Contender {
    pub line: usize,
    pub case: Option<usize>,
    pub process: Running,
    pub aim: Aim,
    /// Address of its backends.
    pub host: Ipv4Addr,
}

/// Watches all while nothing is asked of them.
pub fn watch_idle(contenders: &[Contender], results: &mut Results) {
    let before: Vec<Usage> = contenders.iter().map(|one| Usage::of(one.process.id())).collect();
    let start = Instant::now();
    std::thread::sleep(IDLE);
    for (contender, before) in contenders.iter().zip(before) {
        let used = Usage::of(contender.process.id()).since(&before);
        let share = used as f64 / start.elapsed().as_nanos() as f64 * 100.0;
        results.lines[contender.line].samples.entry(Metric::IdleShare).or_default().push(share);
    }
}

/// Runs the load on each, once a round. `origin` is the process that answers them all.
pub fn take_all(contenders: &[Contender], origin: u32, results: &mut Results, settings: &Settings) {
    let warm = Settings { duration: WARM_UP, ..settings.clone() };
    for contender in contenders {
        let load = results.scenario.load(contender.case).warm_up();
        let _ = Started::start(load, &contender.aim, &warm).and_then(|mut started| started.outcome());
    }
    for round in 1..=settings.rounds {
        for contender in in_turn(contenders, round) {
            let measured = measure(contender, origin, results, settings);
            let line = &mut results.lines[contender.line];
            let name = format!("round {round}, {}{}", line.peer.label(), of_case(line.case));
            match measured {
                Ok(text) => println!("{name}: {text}"),
                Err(error) => {
                    println!("{name}: {error:#}");
                    line.errors += 1;
                    line.notes.push(format!("round {round} failed: {error:#}"));
                }
            }
        }
    }
}

/// Each round begins with another one, so that nobody always follows the same.
fn in_turn(contenders: &[Contender], round: usize) -> impl Iterator<Item = &Contender> {
    let first = round % contenders.len().max(1);
    contenders[first..].iter().chain(&contenders[..first])
}

fn measure(contender: &Contender, origin: u32, results: &mut Results, settings: &Settings) -> anyhow::Result<String> {
    let load = results.scenario.load(contender.case);
    let isolated = results.scenario.isolated;
    if isolated {
        isolate::rest(contender.host);
    }
    let pid = contender.process.id();
    let reading = || (Usage::of(pid), Usage::of(origin), account::cores());
    let at_start = reading();
    let mut started = Started::start(load, &contender.aim, settings)?;
    let mut memory = None;
    let (before, origin_before, cores_before) = if load.opens_first() {
        std::thread::sleep(SETTLE);
        memory = Some(Memory::of(pid));
        reading()
    } else {
        at_start
    };
    let outcome = started.outcome()?;
    let (after, origin_after, cores_after) = reading();
    drop(started);
    let used = after.since(&before) as f64;
    let origin_used = origin_after.since(&origin_before) as f64;
    let line = &mut results.lines[contender.line];
    line.errors += outcome.errors;
    ensure!(outcome.requests != 0.0, "no request was answered");
    if used != 0.0 {
        let differs = (after.ticks_since(&before) as f64 / used - 1.0).abs();
        results.accounts_differ = results.accounts_differ.max(differs);
    }
    if let (false, Ok(core)) = (results.scenario.unpinned, settings.proxy_cores.parse::<usize>())
        && let (Some((idle_before, all_before)), Some((idle, all))) = (cores_before.get(core), cores_after.get(core))
    {
        let elapsed = (all - all_before).max(1) as f64;
        let others = (elapsed - (idle - idle_before) as f64 - used / 1e7) / elapsed * 100.0;
        results.others = Some(results.others.unwrap_or(0.0).max(others));
    }
    let micros = used / 1000.0 / outcome.requests;
    let origin_micros = origin_used / 1000.0 / outcome.requests;
    let rate = outcome.requests / outcome.seconds;
    let busy = used / 1e7 / outcome.seconds;
    let mut add = |metric, value| line.samples.entry(metric).or_default().push(value);
    add(Metric::CpuMicros, micros);
    add(Metric::OriginMicros, origin_micros);
    add(Metric::BothMicros, micros + origin_micros);
    add(Metric::PerSecond, rate);
    add(Metric::Busy, busy);
    for &(metric, value) in &outcome.more {
        add(metric, value);
    }
    if isolated {
        add(Metric::TimeWait, isolate::time_waits(contender.host) as f64);
    }
    if let Some(memory) = memory {
        add(Metric::Resident, memory.rss as f64 / 1e6);
        add(Metric::Proportional, memory.pss as f64 / 1e6);
    }
    if results.scenario.unpinned {
        let idle = |core: usize| -> Option<f64> {
            let ((idle, all), (idle_before, all_before)) = (cores_after.get(core)?, cores_before.get(core)?);
            Some((idle - idle_before) as f64 / (all - all_before).max(1) as f64 * 100.0)
        };
        for (metric, core) in [(Metric::IdleCore0, 0), (Metric::IdleCore1, 1)] {
            if let Some(share) = idle(core) {
                add(metric, share);
            }
        }
        let busiest = after.threads_since(&before).first().copied().unwrap_or(0);
        add(Metric::BusiestThread, busiest as f64 / used.max(1.0) * 100.0);
    }
    let errors = if outcome.errors == 0 { String::new() } else { format!(", {} ERRORS", outcome.errors) };
    let megabytes = memory.map_or_else(String::new, |memory| format!(", {:.1} MB", memory.rss as f64 / 1e6));
    let more: String = outcome.more.iter().map(|(metric, value)| format!(", {metric:?} {value}")).collect();
    Ok(format!(
        "{micros:.2} µs/request (origin {origin_micros:.2}), {rate:.0}/s, {busy:.0} % of a core{megabytes}{more}{errors}"
    ))
}

/// Takes latencies of the first case, at a rate that is the same for all.
pub fn take_latencies(contenders: &[Contender], results: &mut Results, settings: &Settings) {
    let first_case = results.scenario.cases().1.first().copied().flatten();
    let rate = match results.scenario.latency {
        Rate::Untaken => return,
        Rate::Fixed(rate) => rate,
        Rate::HalfOfBaseline => {
            let baseline = results.lines.iter().find(|line| line.peer == BASELINE && line.case == first_case);
            match baseline.and_then(|line| line.value(Metric::PerSecond)) {
                Some(rate) => (rate / 2.0) as u64,
                None => return,
            }
        }
    };
    for round in 1..=settings.rounds {
        for contender in in_turn(contenders, round).filter(|contender| contender.case == first_case) {
            let taken = load::latency(results.scenario.load(contender.case), rate, &contender.aim, settings);
            let line = &mut results.lines[contender.line];
            match taken {
                Ok(latency) => {
                    let mut add = |metric, value| line.samples.entry(metric).or_default().push(value);
                    add(Metric::P50, latency.p50);
                    add(Metric::P99, latency.p99);
                    add(Metric::P999, latency.p999);
                    add(Metric::AnsweredPerSecond, latency.rate);
                    line.errors += latency.errors;
                    let name = line.peer.label();
                    println!("round {round}, {name}: p50 {:.2} ms, p99 {:.2} ms at {rate}/s", latency.p50, latency.p99);
                }
                Err(error) => {
                    line.notes.push(format!("no latency in round {round}: {error:#}"));
                    println!("round {round}, {}: {error:#}", line.peer.label());
                }
            }
        }
    }
}
