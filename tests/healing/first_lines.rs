//! What a newcomer gets: the configuration that the README shows, as it stands there, in front of three replicas of each.
//!
//! The back end is a small program under Gunicorn, so that a replica less is no overload on two cores; where the database
//! falls ill it is the sample API, whose every request asks it.
//!
//! Each sickness is forced in `ROUNDS` rounds (5) on a quiet machine and once beside a busy core; medians are held against
//! what was promised. A round has an edge of its own, so that no cooldown and no used budget comes from the one before.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Child, Command};
use std::str::FromStr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cases::force;
use crate::edge;
use crate::host::address;
use crate::load::{self, Load, Outcome};
use crate::programs::{PROGRAMS, Program, Sickness};
use crate::report::Report;
use crate::stack::{Stack, within};

/// One replica or all of them.
enum Harm {
    One(Sickness),
    Recreate,
}

struct Case {
    name: &'static str,
    /// Index in [`PROGRAMS`] of what falls ill.
    program: &'static str,
    /// The Compose service that falls ill, its port and what is asked for through the edge.
    service: &'static str,
    port: u16,
    path: &'static str,
    harm: Harm,
    /// Failed requests, and seconds until all replicas serve again, at most.
    most: (usize, f64),
}

const BACKEND: Case = Case {
    name: "",
    program: "gunicorn-pid1",
    service: "backend",
    port: 8000,
    path: "/api",
    harm: Harm::Recreate,
    most: (0, 4.0),
};
const FRONTEND: Case =
    Case { program: "pm2-cluster", service: "frontend", port: 3000, path: "/health", most: (0, 2.0), ..BACKEND };

const CASES: [Case; 6] = [
    // First: what was deadlocked before takes all the time that Compose gives it to stop.
    Case { name: "recreated", ..BACKEND },
    Case { name: "frozen", harm: Harm::One(Sickness::Frozen), most: (0, 2.0), ..BACKEND },
    Case { name: "deadlocked", harm: Harm::One(Sickness::Deadlocked), most: (0, 2.0), ..BACKEND },
    Case { name: "pm2-blocked", harm: Harm::One(Sickness::Deadlocked), ..FRONTEND },
    Case { name: "500", harm: Harm::One(Sickness::Failing), most: (4, 1.0), ..BACKEND },
    Case {
        name: "database-killed",
        program: "systemd-mariadb",
        path: "/api/health",
        harm: Harm::One(Sickness::Killed),
        most: (150, 1.0),
        ..BACKEND
    },
];

/// Requests a second, unless `RATE` says otherwise.
const RATE: u32 = 300;
const REPLICAS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(90);
/// Requests of this long before and after belong to a round too.
const BESIDE: Duration = Duration::from_secs(3);

/// One round of one case.
struct Round {
    failed: usize,
    serves: f64,
    /// Of the requests sent until all replicas served again.
    p99: Duration,
    sent: usize,
    /// Requests that waited in the edge's queue.
    queued: u64,
    failures: String,
}

/// A core that is busy with something else, until it is dropped.
struct BusyCore(Child);

impl BusyCore {
    fn start() -> Self {
        Self(Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap())
    }
}

impl Drop for BusyCore {
    fn drop(&mut self) {
        let _it_may_be_gone = self.0.kill();
        let _it_may_be_gone = self.0.wait();
    }
}

/// The whole configuration in the README, and another like it without this text.
fn configuration(without: Option<&str>) -> String {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let block = text.split("```yaml\n").find(|block| block.starts_with("routes:\n  /:    frontend")).unwrap();
    let mut lines = block.split("```").next().unwrap().to_owned();
    if let Some(without) = without {
        assert!(lines.contains(without), "the README's lines have no `{without}`");
        lines = lines.replace(without, "");
    }
    // What it says is counted and read here; how it heals is the README's.
    format!("{lines}log: {{ access: off }}\nmetrics: 0.0.0.0:9902\n")
}

fn program(name: &str) -> &'static Program {
    PROGRAMS.iter().find(|program| program.name == name).unwrap()
}

async fn stack(configuration: &str, backend: &Program) -> Stack {
    let mut services = program("systemd-mariadb").services(false);
    services["backend"] = backend.services(false)["backend"].clone();
    services["frontend"] = program("pm2-cluster").services(false)["backend"].clone();
    services["frontend"]["environment"] = json!({ "SAMPLE_FAULTS": "1" });
    let counts = [("database", 1), ("backend", REPLICAS), ("frontend", REPLICAS)];
    let stack = Stack::start(services, configuration, None, &counts).await;
    all_up(&stack).await;
    stack
}

async fn all_up(stack: &Stack) {
    for (service, count) in [("database", 1), ("backend", REPLICAS), ("frontend", REPLICAS)] {
        let up = within(PATIENCE, || is_up(stack, service, count)).await;
        assert!(up.is_some(), "not all of {service} are up: {:?}", edge::states(&stack.edge, service));
    }
}

/// The address of the edge where metrics and the status are read: asking there costs the machine next to nothing.
fn metrics(stack: &Stack) -> SocketAddr {
    SocketAddr::new(stack.front().ip(), 9902)
}

/// Whether so many backends of an upstream are up, and no other.
async fn is_up(stack: &Stack, upstream: &str, count: usize) -> bool {
    let Ok(status) = load::get(metrics(stack), "/status").await else { return false };
    let status: Value = serde_json::from_str(&status.body).unwrap();
    let pool = status["upstreams"].as_array().unwrap().iter().find(|one| one["name"] == upstream).unwrap();
    let backends = pool["backends"].as_array().unwrap();
    backends.len() == count && backends.iter().all(|backend| backend["state"] == "up")
}

/// Runs what is wanted of it.
pub async fn run(wanted: impl Fn(&str) -> bool, report: &mut Report) {
    let rounds = number("ROUNDS", 5);
    let chosen = CASES.iter().filter(|case| wanted(&format!("first-lines/{}", case.name)));
    let (database, others): (Vec<&Case>, Vec<&Case>) = chosen.partition(|case| case.name == "database-killed");
    for chosen in [others, database].iter().filter(|chosen| !chosen.is_empty()) {
        series(&configuration(None), "first-lines", chosen, rounds, report).await;
    }
    let killed = CASES.iter().find(|case| case.name == "database-killed").unwrap();
    if wanted("first-lines-without-needs/database-killed") {
        let without = configuration(Some(", needs: [database]"));
        series(&without, "first-lines-without-needs", &[killed], rounds, report).await;
    }
}

async fn series(configuration: &str, prefix: &str, chosen: &[&Case], rounds: usize, report: &mut Report) {
    let backend = chosen.iter().find(|case| case.service == "backend").map_or(BACKEND.program, |case| case.program);
    let mut stack = stack(configuration, program(backend)).await;
    let mut all: BTreeMap<(bool, &str), Vec<Round>> = BTreeMap::new();
    for round in 0..=rounds {
        let busy = (round == rounds).then(BusyCore::start);
        if round != 0 {
            stack.another_edge();
            all_up(&stack).await;
        }
        stack.grace().await;
        let mut nth = BTreeMap::new();
        for case in chosen {
            // Each replica is made sick once in a round, for a second heal would wait for its cooldown.
            let nth = nth.entry(case.service).and_modify(|nth| *nth += 1).or_insert(round);
            let one = case.round(&stack, *nth).await;
            println!("{prefix}/{}, round {}: {}", case.name, round + 1, one.text());
            all.entry((busy.is_some(), case.name)).or_default().push(one);
            all_up(&stack).await;
        }
    }
    for (is_busy, case) in [false, true].into_iter().flat_map(|busy| chosen.iter().map(move |case| (busy, case))) {
        case.tell(prefix, is_busy, &all[&(is_busy, case.name)], report);
    }
}

impl Case {
    async fn round(&self, stack: &Stack, nth: usize) -> Round {
        let before = stack.containers(self.service);
        let queued = queued(stack).await;
        let load = Load::start(stack.front(), self.path, number("RATE", RATE));
        tokio::time::sleep(BESIDE).await;
        let since = Instant::now();
        let mut sick = before.clone();
        match self.harm {
            Harm::Recreate => {
                stack.scale(&[(self.service, REPLICAS)], &["--force-recreate", "--no-deps", self.service]);
            }
            Harm::One(sickness) if self.program == "systemd-mariadb" => {
                let database = stack.containers("database").remove(0);
                let to = address(&database, 3306).unwrap();
                force(program(self.program), &database, to, sickness).await;
            }
            Harm::One(sickness) => {
                sick = vec![before[nth % before.len()].clone()];
                let to = address(&sick[0], self.port).unwrap();
                force(program(self.program), &sick[0], to, sickness).await;
            }
        }
        let fell = within(BESIDE, || async { !is_up(stack, self.service, REPLICAS).await }).await;
        assert!(fell.is_some() || matches!(self.harm, Harm::Recreate), "{}: nobody fell ill", self.name);
        let is_over = || async { is_up(stack, self.service, REPLICAS).await && self.all_well(stack).await };
        let over = within(PATIENCE, is_over).await;
        assert!(over.is_some(), "{}: not well after {PATIENCE:?}", self.name);
        tokio::time::sleep(BESIDE).await;
        let outcome = load.end().await;
        let now = stack.containers(self.service);
        let awaited = if matches!(self.harm, Harm::Recreate) { &now } else { &sick };
        let serves = awaited.iter().map(|one| serves(&outcome, &Stack::hostname(one), since)).max().unwrap();
        Round {
            failed: outcome.failed(),
            serves: serves.as_secs_f64(),
            p99: outcome.percentile(99, since, since + serves),
            sent: outcome.sent(),
            queued: self::queued(stack).await - queued,
            failures: outcome.failures(),
        }
    }

    async fn all_well(&self, stack: &Stack) -> bool {
        for container in stack.containers(self.service) {
            let Some(to) = address(&container, self.port) else { return false };
            if !Stack::is_well(to, "/health").await {
                return false;
            }
        }
        true
    }

    fn tell(&self, prefix: &str, is_busy: bool, rounds: &[Round], report: &mut Report) {
        let name = format!("{prefix}/{}{}", self.name, if is_busy { " (beside a busy core)" } else { "" });
        let failed = median(rounds.iter().map(|round| round.failed));
        let serves = median(rounds.iter().map(|round| (round.serves * 1000.0) as usize)) as f64 / 1000.0;
        let each: Vec<String> = rounds.iter().map(Round::text).collect();
        let (most_failed, most_seconds) = self.most;
        report.line(
            &name,
            &format!(
                "{failed} failed, all serve again after {serves:.1} s (at most {most_failed}, {most_seconds:.1} s); each: {}",
                each.join(" / ")
            ),
        );
        if !is_busy && (most_failed < failed || most_seconds < serves) {
            report.problem(&name, &format!("{failed} failed and {serves:.2} s"));
        }
    }
}

impl Round {
    fn text(&self) -> String {
        let failures = if self.failures.is_empty() { String::new() } else { format!(" ({})", self.failures) };
        format!(
            "{} of {} failed{failures}, {:.2} s, p99 {} ms, {} queued",
            self.failed,
            self.sent,
            self.serves,
            self.p99.as_millis(),
            self.queued
        )
    }
}

fn number<N: FromStr>(variable: &str, default: N) -> N {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn median(figures: impl Iterator<Item = usize>) -> usize {
    let mut figures: Vec<usize> = figures.collect();
    figures.sort_unstable();
    figures[figures.len() / 2]
}

/// When a replica served clients again: at once if nobody ever missed it.
fn serves(outcome: &Outcome, who: &str, since: Instant) -> Duration {
    outcome.serves_again(who, since).unwrap_or_else(|| panic!("{who} served nobody"))
}

/// Requests that ever waited in the edge's queue.
async fn queued(stack: &Stack) -> u64 {
    let text = load::get(metrics(stack), "/metrics").await.unwrap().body;
    let lines = text.lines().filter(|line| line.starts_with("remora_requests_queued_total{"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}
