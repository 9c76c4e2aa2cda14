//! What is no sickness of one replica: all recreated, scaling, a rolling reload, too much load.

use std::process::Command;
use std::time::{Duration, Instant};

use chrono::Utc;

use crate::edge;
use crate::host::Identity;
use crate::load::{Load, Outcome};
use crate::programs::{PROGRAMS, THREADS};
use crate::report::Report;
use crate::stack::{Stack, within};

#[derive(Debug, Clone, Copy)]
pub enum Special {
    Recreate,
    Scale,
    Rolling,
    Overload(u32),
}

pub const CASES: [(&str, Special); 5] = [
    ("recreate", Special::Recreate),
    ("scale", Special::Scale),
    ("rolling-reload", Special::Rolling),
    ("overload/5x", Special::Overload(5)),
    ("overload/10x", Special::Overload(10)),
];

/// Two workers in each of three replicas, and an answer takes this long.
const SLOW_MS: u32 = 300;
const OVERLOAD: Duration = Duration::from_secs(60);
/// Longest wait for replicas that were only busy.
const AFTERWARDS: Duration = Duration::from_secs(120);

fn sum(outcome: &Outcome, since: Instant) -> String {
    let harm = outcome
        .last_harm(since)
        .map_or_else(String::new, |at| format!(", the last harmed {:.1} s after", at.as_secs_f64()));
    let slow = outcome.slower_than(Duration::from_secs(1));
    let failures = outcome.failures();
    format!(
        "{} sent at {:.0}/s, {} failed, {slow} slower than 1 s{harm}; {failures}",
        outcome.sent(),
        outcome.rate(),
        outcome.failed()
    )
}

/// Ladders begun since then.
fn heals(stack: &Stack, since: chrono::DateTime<Utc>) -> usize {
    edge::log(&stack.edge, since)
        .iter()
        .filter(|line| line.text.contains("heal backend") && line.text.contains(": starts"))
        .count()
}

impl Special {
    pub async fn run(self, name: &str, report: &mut Report) {
        match self {
            Self::Recreate => {
                let stack = Stack::up(&PROGRAMS[0], true).await;
                let (load, since, clock) = (Load::start(stack.front(), "/", 300), Instant::now(), Utc::now());
                stack.scale(&[("backend", 3)], &["--force-recreate", "--no-deps", "backend"]);
                let done = since.elapsed();
                stack.all_up("backend", 3, Duration::from_secs(60)).await;
                let up = since.elapsed();
                tokio::time::sleep(Duration::from_secs(2)).await;
                let said = sum(&load.end().await, since);
                let count = heals(&stack, clock);
                report.line(
                    name,
                    &format!(
                        "compose took {:.1} s, all up after {:.1} s, {count} heals; {said}",
                        done.as_secs_f64(),
                        up.as_secs_f64()
                    ),
                );
            }
            Self::Scale => {
                let stack = Stack::up(&PROGRAMS[0], true).await;
                let (load, since, clock) = (Load::start(stack.front(), "/", 300), Instant::now(), Utc::now());
                let mut took = Vec::new();
                for count in [1, 3] {
                    stack.scale(&[("backend", count)], &["--no-recreate"]);
                    took.push(format!(
                        "{:.1} s",
                        stack.all_up("backend", count, Duration::from_secs(60)).await.as_secs_f64()
                    ));
                }
                let outcome = load.end().await;
                let count = heals(&stack, clock);
                report.line(
                    name,
                    &format!("the edge follows within {}, {count} heals; {}", took.join(" and "), sum(&outcome, since)),
                );
            }
            Self::Rolling => {
                let stack = Stack::up(&THREADS, true).await;
                let containers = stack.containers("backend");
                let before: Vec<Identity> = containers.iter().map(|one| Identity::of(one)).collect();
                let (load, since) = (Load::start(stack.front(), "/?1", 500), Instant::now());
                tokio::time::sleep(Duration::from_secs(3)).await;
                let began = Instant::now();
                let reload =
                    Command::new("docker").args(["exec", &stack.edge, "remora", "reload", "backend"]).output().unwrap();
                let took = began.elapsed();
                tokio::time::sleep(Duration::from_secs(3)).await;
                let outcome = load.end().await;
                let same = before == containers.iter().map(|one| Identity::of(one)).collect::<Vec<_>>();
                let words = String::from_utf8_lossy(&[reload.stdout, reload.stderr].concat())
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ");
                let late = outcome.slower_than(Duration::from_secs(2));
                report.line(
                    name,
                    &format!(
                        "exit {:?} in {:.1} s, containers the same: {same}; {late} slower than 2 s; {}; {words}",
                        reload.status.code(),
                        took.as_secs_f64(),
                        sum(&outcome, since)
                    ),
                );
                if reload.status.code() != Some(0) {
                    report.problem(name, "`remora reload backend` did not end with 0");
                }
            }
            Self::Overload(times) => {
                let stack = Stack::up(&PROGRAMS[0], true).await;
                let containers = stack.containers("backend");
                let before: Vec<Identity> = containers.iter().map(|one| Identity::of(one)).collect();
                let capacity = 3 * 2 * 1000 / SLOW_MS;
                let clock = Utc::now();
                let (load, since) = (Load::start(stack.front(), "/?0.3", capacity * times), Instant::now());
                tokio::time::sleep(OVERLOAD).await;
                let outcome = load.end().await;
                let count = heals(&stack, clock);
                let again = within(AFTERWARDS, || async { stack.is_up("backend", 3) }).await;
                let same = before == containers.iter().map(|one| Identity::of(one)).collect::<Vec<_>>();
                let failed = 100.0 * outcome.failed() as f64 / outcome.sent().max(1) as f64;
                let again = match again {
                    Some(again) => format!("all up {:.1} s after the last request", again.as_secs_f64()),
                    None => format!("not all up {AFTERWARDS:?} after the last request"),
                };
                let (most, all) = outcome.failures_took();
                let what = format!(
                    "capacity {capacity}/s, {count} heals, containers the same: {same}, {failed:.0} % refused, 99 of 100 \
                     within {} ms, all within {} ms",
                    most.as_millis(),
                    all.as_millis()
                );
                report.line(name, &format!("{what}, {again}; {}", sum(&outcome, since)));
                if count != 0 || again.starts_with("not") {
                    report.problem(name, &format!("{count} heals of what was only busy; {again}"));
                }
            }
        }
    }
}
