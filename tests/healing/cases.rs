//! One sickness at a time on one replica, healed by the edge; and beside it by a restart of the container.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::Utc;
use http::Method;

use crate::edge;
use crate::host::{self, Identity, address, docker};
use crate::load::{self, Load};
use crate::programs::{Program, Sickness};
use crate::report::{Report, Row};
use crate::stack::{Stack, within};

/// Longest wait for a cure.
const PATIENCE: Duration = Duration::from_secs(90);

/// All chosen sicknesses of a program, each on the next replica, healed by the edge.
pub async fn run(program: &Program, chosen: &[(Sickness, String)], report: &mut Report) {
    if chosen.is_empty() {
        return;
    }
    let stack = Stack::up(program, true).await;
    for (index, (sickness, name)) in chosen.iter().enumerate() {
        let kept = one(&stack, program, index, *sickness, name, report).await;
        if !kept && *sickness != Sickness::Killed {
            report.problem(name, "the container was restarted");
        }
    }
}

/// The same with an edge that does not heal, and a loop that restarts what Docker calls unhealthy.
pub async fn run_autoheal(program: &Program, chosen: &[(Sickness, String)], report: &mut Report) {
    if chosen.is_empty() {
        return;
    }
    let stack = Stack::up(program, false).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, containers) =
        (Arc::clone(&stop), [stack.containers("backend"), stack.containers(program.sick)].concat());
    let healer = std::thread::spawn(move || autoheal(&containers, &stopped));
    for (index, (sickness, name)) in chosen.iter().enumerate() {
        one(&stack, program, index, *sickness, name, report).await;
    }
    stop.store(true, Ordering::Relaxed);
    healer.join().unwrap();
}

/// What autoheal does.
fn autoheal(containers: &[String], stopped: &AtomicBool) {
    while !stopped.load(Ordering::Relaxed) {
        for container in containers {
            if docker(&["inspect", "-f", "{{if .State.Health}}{{.State.Health.Status}}{{end}}", container])
                == "unhealthy"
            {
                docker(&["restart", "-t", "10", container]);
            }
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// False when the container is not what it was.
async fn one(
    stack: &Stack,
    program: &Program,
    index: usize,
    sickness: Sickness,
    name: &str,
    report: &mut Report,
) -> bool {
    let containers = stack.containers(program.sick);
    let container = containers[index % containers.len()].clone();
    let port = if program.has_database() { 3306 } else { program.port };
    let before = (Identity::of(&container), address(&container, port).unwrap());
    let who = if program.has_database() { String::new() } else { Stack::hostname(&container) };
    let load = Load::start(stack.front(), program.path, program.rate);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (since, clock) = (Instant::now(), Utc::now());
    force(program, &container, before.1, sickness).await;
    tokio::time::sleep(Duration::from_secs(1)).await; // the times come from the log and from the replies
    let is_over = || async {
        let log = edge::log(&stack.edge, clock);
        let told = edge::told(&log, before.1, clock);
        let after = address(&container, port);
        let is_back = match after {
            Some(to) if !program.has_database() => Stack::is_well(to, program.path).await,
            // A database is well when everybody who needs it is.
            Some(_) => all_well(stack, program).await && stack.is_up("database", 1),
            None => false,
        };
        // A sickness that the edge never saw is over when the replica is well; else when the edge says so.
        is_back && (told.out.is_none() || stack.is_up("backend", 3))
    };
    let over = within(PATIENCE, is_over).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let outcome = load.end().await;
    let told = edge::told(&edge::log(&stack.edge, clock), before.1, clock);
    let after = Identity::of(&container);
    let kept = match (after == before.0, after.id == before.0.id) {
        (true, _) => "the same",
        (false, true) => "restarted",
        (false, false) => "another",
    };
    let failures = outcome.failures();
    let note = [told.steps.join("; "), failures].iter().filter(|text| !text.is_empty()).cloned().collect::<Vec<_>>();
    report.row(Row {
        name: name.to_owned(),
        out: told.out,
        heal_starts: told.heal_starts,
        healed: told.healed,
        serves: over.and_then(|_| outcome.serves_again(&who, since)).map(|time| time.as_secs_f64()),
        last_harm: outcome.last_harm(since),
        sent: outcome.sent(),
        failed: outcome.failed(),
        slow: outcome.slower_than(Duration::from_secs(1)),
        container: kept,
        note: note.join("; "),
    });
    if over.is_none() {
        report.problem(name, &format!("not well after {PATIENCE:?}; {:?}", edge::states(&stack.edge, program.sick)));
        docker(&["restart", "-t", "1", &container]);
        stack.all_up(program.sick, containers.len(), Duration::from_secs(120)).await;
    }
    after == before.0
}

/// Whether every replica answers by itself.
async fn all_well(stack: &Stack, program: &Program) -> bool {
    for container in stack.containers("backend") {
        let Some(to) = address(&container, program.port) else { return false };
        if !Stack::is_well(to, program.path).await {
            return false;
        }
    }
    true
}

/// Makes one container sick.
pub async fn force(program: &Program, container: &str, to: SocketAddr, sickness: Sickness) {
    match sickness {
        Sickness::Frozen => host::kill("STOP", &host::leaves(container, program.worker)),
        Sickness::Killed => host::kill("KILL", &host::head(container, program.head).into_iter().collect::<Vec<_>>()),
        Sickness::Failing => {
            let path = if program.port == 3000 { "/_fault/sick?seconds=3600" } else { "/_fault/sick?3600" };
            load::once(Method::POST, to, path, Duration::from_secs(2)).await.unwrap();
        }
        Sickness::Deadlocked => {
            for _ in 0..200 {
                // One at a time: what waits to be accepted would hang whoever accepts it after the cure.
                let path = "/_fault/hang?seconds=3600";
                let _hangs = load::once(Method::POST, to, path, Duration::from_millis(150)).await;
                // Not for long: by the time that it is healed the next one would hang it again.
                let answer = load::once(Method::GET, to, program.path, Duration::from_millis(400)).await;
                if !answer.is_ok_and(|answer| answer.status < 400) {
                    return;
                }
            }
            panic!("{container} does not hang");
        }
    }
}
