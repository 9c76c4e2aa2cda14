//! What happens to the stack, and what must come of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;

use crate::calm;
use crate::load::{Load, Outcome, get, send};
use crate::stack::{Kind, Stack, eventually, front, text};

pub fn tell(what: &str, outcome: &Outcome, rest: &str) {
    println!("{what}: {outcome}{rest}");
}

pub async fn a_reader_of_a_tutorial_finds_everything(stack: &Stack) {
    let listed = text(&stack.compose(&["ps"]).stdout);
    for service in ["manager", "frontend", "backend", "database"] {
        assert!(listed.contains(service), "{listed}");
    }
    let shell =
        stack.compose(&["exec", "-T", "manager", "/bin/sh", "-c", "id -u && cat /proc/1/status && cat /proc/1/comm"]);
    let shell = text(&shell.stdout);
    assert!(shell.contains("Uid:\t10001") && shell.ends_with("remora\n"), "PID 1 is remora and not root: {shell}");
    assert!(get(front(), "/").await.unwrap().body.contains("<div id=\"root\">"), "the page is there");

    let made = send(Method::POST, front(), "/api/notes/", r#"{"title":"bread","text":"and butter"}"#).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.body);
    let note: Value = serde_json::from_str(&made.body).unwrap();
    let path = format!("/api/notes/{}/", note["id"]);
    assert!(get(front(), &path).await.unwrap().body.contains("bread"));
    assert!(send(Method::PATCH, front(), &path, r#"{"title":"toast"}"#).await.unwrap().body.contains("toast"));
    assert_eq!(send(Method::DELETE, front(), &path, "").await.unwrap().status, 204);
    assert_eq!(get(front(), &path).await.unwrap().status, 404);
    assert_eq!(send(Method::POST, front(), "/api/notes/", "{}").await.unwrap().status, 400);

    let log = stack.manager_log();
    assert!(log.contains("is up"), "the log tells changes of health: {log}");
    let table = text(&stack.compose(&["exec", "-T", "manager", "remora", "status"]).stdout);
    assert!(table.contains("backend") && table.contains("database"), "{table}");
    let with_docker = match stack.kind {
        Kind::Whole => "manager",
        Kind::Split => "sidecar",
    };
    let doctor = text(&stack.compose(&["exec", "-T", with_docker, "remora", "doctor"]).stdout);
    assert!(doctor.contains("systemd knows `mysql`") && doctor.contains("all checks passed"), "{doctor}");
    eventually("Docker calls the manager healthy", || async {
        let manager = &stack.containers("manager")[0];
        Stack::docker(&["inspect", "--format", "{{.State.Health.Status}}", manager]) == "healthy"
    })
    .await;
}

pub async fn replicas_take_turns(_stack: &Stack) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let clients: Vec<_> = (0..6)
        .map(|_| {
            tokio::spawn(async {
                let mut seen = Vec::new();
                for _ in 0..500 {
                    let answer = get(front(), "/api/health").await.unwrap();
                    assert_eq!(answer.status, 200);
                    let body: Value = serde_json::from_str(&answer.body).unwrap();
                    seen.push(body["served_by"].as_str().unwrap().to_owned());
                }
                seen
            })
        })
        .collect();
    for client in clients {
        for name in client.await.unwrap() {
            *counts.entry(name).or_default() += 1;
        }
    }
    println!("turns: {:?}", counts.values().collect::<Vec<_>>());
    assert_eq!(counts.len(), 3);
    assert!(counts.values().all(|count| count.abs_diff(1000) <= 1), "{counts:?}");
}

/// Runs a load while `break_it` makes one container sick, until it was healed once more and everyone is up.
async fn healed_under_load(
    stack: &Stack,
    what: &str,
    path: &'static str,
    upstream: &str,
    container: &str,
    break_it: impl AsyncFnOnce(),
) -> Outcome {
    let before = (Stack::identity(container), stack.healed(upstream).await.len());
    let load = Load::start(front(), path, stack.rate);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let broken = Instant::now();
    break_it().await;
    eventually("it is healed", || async { before.1 < stack.healed(upstream).await.len() }).await;
    let count = stack.states(upstream).await.len();
    eventually("everyone is up", || async { stack.states(upstream).await == vec!["up"; count] }).await;
    let whole = broken.elapsed();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let outcome = load.end().await;
    let heal = stack.healed(upstream).await.pop().unwrap();
    let steps: Vec<_> = heal["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| format!("{}: {}", s["step"].as_str().unwrap(), s["outcome"].as_str().unwrap()))
        .collect();
    let rest = format!("; broken at 2.0 s, well again after {:.1} s, steps {steps:?}", whole.as_secs_f64());
    tell(what, &outcome, &rest);
    assert_eq!(Stack::identity(container), before.0, "the container is the same and was not restarted");
    assert!(stack.manager_log().contains("heal"), "the log tells the heal");
    outcome
}

pub async fn frozen_gunicorn_workers_are_healed(stack: &Stack) {
    let container = stack.containers("backend")[1].clone();
    let freeze = async || {
        Stack::docker(&["exec", &container, "pkill", "-STOP", "-P", "1"]);
    };
    healed_under_load(stack, "gunicorn frozen", "/api/notes/", "backend", &container, freeze).await;
}

pub async fn a_hung_pm2_app_is_healed(stack: &Stack) {
    let container = stack.containers("frontend")[0].clone();
    let hang = async || {
        let script = "fetch('http://127.0.0.1:3000/_fault/hang', { method: 'POST', signal: AbortSignal.timeout(500) }).catch(() => {})";
        Stack::docker(&["exec", &container, "node", "-e", script]);
    };
    healed_under_load(stack, "pm2 hung", "/", "frontend", &container, hang).await;
}

pub async fn a_killed_database_is_healed(stack: &Stack) {
    let container = stack.containers("database")[0].clone();
    let backends = stack.healed("backend").await.len();
    let kill = async || {
        Stack::docker(&["exec", &container, "pkill", "-KILL", "mariadbd"]);
    };
    healed_under_load(stack, "mysqld killed", "/api/health", "database", &container, kill).await;
    eventually("the backends are up again", || async { stack.states("backend").await == ["up"; 3] }).await;
    assert_eq!(stack.healed("backend").await.len(), backends, "nobody is healed for the database's sickness");
}

pub async fn a_killed_replica_costs_nothing_more(stack: &Stack) {
    let container = stack.containers("backend")[2].clone();
    let load = Load::start(front(), "/api/notes/", stack.rate);
    tokio::time::sleep(Duration::from_secs(2)).await;
    Stack::docker(&["kill", &container]);
    tokio::time::sleep(Duration::from_secs(6)).await;
    let outcome = load.end().await;
    tell("docker kill", &outcome, "");
    Stack::docker(&["start", &container]);
    eventually("everyone is up", || async { stack.states("backend").await == ["up"; 3] }).await;
    assert!(outcome.failed() <= 2, "{outcome}: only what was in flight there may fail");
}

pub async fn scaling_costs_nothing(stack: &Stack) {
    costs_nothing(stack, "scale 3→1→3", async || {
        for count in [1, 3] {
            stack.scale(&[("backend", count), ("frontend", 2)]);
            eventually("the edge follows", || async { stack.states("backend").await == vec!["up"; count] }).await;
        }
    })
    .await;
}

pub async fn edits_cost_nothing(stack: &Stack) {
    let good = std::fs::read_to_string(stack.conf()).unwrap();
    costs_nothing(stack, "20 edits, 5 of them broken", async || edit_often(stack, &good).await).await;
    assert!(stack.manager_log().contains("remora.yaml:"), "a broken file is explained in the log");
}

async fn edit_often(stack: &Stack, good: &str) {
    for n in 0..20 {
        if n % 4 == 3 {
            stack.edit(&format!("{good}\nroutess: [\n"));
            tokio::time::sleep(Duration::from_millis(500)).await;
        } else {
            let generation = stack.status().await["process"]["generation"].as_u64().unwrap();
            stack.edit(&good.replace("routes:\n", &format!("routes:\n  /edit{n}: backend\n")));
            eventually("the edit is in force", || async {
                generation < stack.status().await["process"]["generation"].as_u64().unwrap()
            })
            .await;
        }
    }
    stack.edit(good);
}

/// Does something under load, of which nothing may fail; true where it was done once.
pub async fn costs_nothing(stack: &Stack, what: &str, mut doing: impl AsyncFnMut()) -> bool {
    let load = |part: u32| Load::start(front(), "/api/notes/", (stack.rate / part).max(1));
    let mut times = 0;
    let counted = async || {
        times += 1;
        doing().await;
    };
    calm::costs(0, what, || stack.manager_log(), load, counted).await;
    times == 1
}

pub async fn stopping_is_quick_and_clean(stack: &Stack) {
    let manager = stack.containers("manager").remove(0);
    let start = Instant::now();
    stack.compose(&["stop", "manager"]);
    let code = Stack::docker(&["inspect", "--format", "{{.State.ExitCode}}", &manager]);
    println!("stop: {:.1} s, exit code {code}", start.elapsed().as_secs_f64());
    assert_eq!(code, "0");
    assert!(start.elapsed() < Duration::from_secs(5));
}
