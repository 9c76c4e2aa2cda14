//! What operators do with the stack: drills, rolling reloads, pauses, replacements; none of it may cost a request.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::load::Load;
use crate::scenarios::{costs_nothing, tell};
use crate::stack::{Stack, eventually, front, text};

/// A command of `remora` inside the manager, as JSON.
fn remora(stack: &Stack, arguments: &[&str]) -> Value {
    let whole = [&["exec", "-T", "manager", "remora"], arguments, &["--json"]].concat();
    let output = stack.compose(&whole);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {}", text(&output.stdout)))
}

pub async fn a_rolling_reload_costs_nothing(stack: &Stack) {
    stack.cool_down().await;
    let before: Vec<_> = stack.containers("backend").iter().map(|one| Stack::identity(one)).collect();
    let load = Load::start(front(), "/api/notes/", stack.rate);
    let started = Instant::now();
    let work = remora(stack, &["reload", "backend"]);
    let took = started.elapsed();
    let outcome = load.end().await;
    let heals = work["heals"].as_array().unwrap();
    tell("rolling reload", &outcome, &format!("; 3 replicas in {:.1} s", took.as_secs_f64()));
    assert_eq!((heals.len(), &work["stopped"]), (3, &Value::Null), "{work}");
    assert!(heals.iter().all(|heal| heal["result"] == "healed" && heal["asked_by"] == "reload"), "{work}");
    assert_eq!(outcome.failed(), 0, "{outcome}");
    let after: Vec<_> = stack.containers("backend").iter().map(|one| Stack::identity(one)).collect();
    assert_eq!(before, after, "no container was restarted");
}

pub async fn a_drill_shows_that_healing_works(stack: &Stack) {
    stack.cool_down().await;
    let load = Load::start(front(), "/api/notes/", stack.rate);
    let seen = remora(stack, &["drill", "backend"]);
    let outcome = load.end().await;
    let times: Vec<_> = ["detected_ms", "out_ms", "drained_ms", "healed_ms", "back_ms"].map(|key| &seen[key]).into();
    tell("drill", &outcome, &format!("; ms until detected, out, step done, healed, back: {times:?}"));
    assert_eq!(seen["problem"], Value::Null, "{seen}");
    assert_eq!((&seen["heal"]["asked_by"], &seen["heal"]["result"]), (&"drill".into(), &"healed".into()), "{seen}");
    assert!(0 < seen["requests"].as_u64().unwrap() && seen["failed"] == 0, "{seen}");
    assert_eq!(outcome.failed(), 0, "{outcome}");
}

pub async fn replacing_every_replica_costs_nothing(stack: &Stack) {
    let heals = stack.status().await["heals"].as_array().unwrap().len();
    // What was queued goes to workers that just started: on a machine that others use too, that may be more than they answer.
    let recreate = ["up", "-d", "--no-build", "--no-deps", "--force-recreate", "--scale", "backend=3", "backend"];
    let done_once = costs_nothing(stack, "force-recreate of all three", async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stack.compose(&recreate);
        eventually("everyone is up", || async { stack.states("backend").await == ["up"; 3] }).await;
    })
    .await;
    // A machine that takes longer than requests may wait makes replicas sick as well.
    if done_once {
        assert_eq!(stack.status().await["heals"].as_array().unwrap().len(), heals, "a plan is no sickness");
    }
    assert!(stack.manager_log().contains("is stopping; no new requests until it is back"));
}

pub async fn a_paused_container_is_a_plan(stack: &Stack) {
    let container = stack.containers("backend")[0].clone();
    let heals = stack.status().await["heals"].as_array().unwrap().len();
    let load = Load::start(front(), "/api/notes/", stack.rate);
    Stack::docker(&["pause", &container]);
    tokio::time::sleep(Duration::from_secs(4)).await;
    Stack::docker(&["unpause", &container]);
    eventually("everyone is up", || async { stack.states("backend").await == ["up"; 3] }).await;
    let outcome = load.end().await;
    tell("paused for 4 s", &outcome, "");
    assert_eq!(outcome.failed(), 0, "{outcome}");
    assert_eq!(stack.status().await["heals"].as_array().unwrap().len(), heals, "nothing was done in it");
}

pub async fn the_journal_and_a_pause_survive_the_edge(stack: &Stack) {
    let before = stack.status().await["heals"].as_array().unwrap().len();
    assert_ne!(before, 0);
    stack.compose(&["exec", "-T", "manager", "remora", "heal", "pause", "backend", "--for", "1h"]);
    stack.compose(&["up", "-d", "--no-build", "--no-deps", "--force-recreate", "manager"]);
    eventually("the edge is back", || async { stack.states("backend").await == ["up"; 3] }).await;
    let status = stack.status().await;
    assert_eq!(status["heals"].as_array().unwrap().len(), before);
    assert!(status["notes"].to_string().contains("healing of backend is paused until"), "{}", status["notes"]);
    stack.compose(&["exec", "-T", "manager", "remora", "heal", "resume", "backend"]);
    assert!(!stack.status().await["notes"].to_string().contains("paused"));
}
