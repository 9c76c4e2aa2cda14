//! What only the stack with a sidecar promises.

use std::time::{Duration, Instant};

use crate::load::Load;
use crate::stack::{Stack, eventually, front, text};

/// The edge has neither Docker, nor root, nor a disk to write to; the sidecar has no network.
pub async fn nothing_is_left_to_take_over(stack: &Stack) {
    let edge = stack.exec("manager", &["sh", "-c", "id -u; grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/1/status"]);
    assert_eq!(edge, "10001\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n");
    let attempts = [
        ("ls /var/run/docker.sock", "No such file"),
        ("touch /usr/local/bin/x", "Read-only file system"),
        ("rm -f /run/remora/heal.sock", "Read-only file system"),
        ("mv /run/remora/heal.sock /run/remora/x", "Read-only file system"),
        ("touch /etc/remora/remora.yaml", "cannot touch"),
        ("ls /var/lib/remora/heals", "No such file"),
        ("remora sidecar --state /tmp", "a sidecar is already running on"),
    ];
    for (attempt, said) in attempts {
        let answer = stack.exec("manager", &["sh", "-c", attempt]);
        assert!(answer.contains(said), "{attempt}: {answer}");
    }
    let sidecar = stack.exec("sidecar", &["sh", "-c", "ls /sys/class/net; grep -E '^(Uid|CapEff)' /proc/1/status"]);
    assert_eq!(sidecar, "lo\nUid:\t10001\t10001\t10001\t10001\nCapEff:\t0000000000000000\n");
    let doctor = text(&stack.compose(&["exec", "-T", "manager", "remora", "doctor"]).stdout);
    assert!(doctor.contains("responds on /run/remora/heal.sock; Docker: responds"), "{doctor}");
    assert!(doctor.contains("exec sidecar remora doctor") && doctor.contains("accepts connections"), "{doctor}");
    eventually("Docker calls the sidecar healthy", || async {
        let sidecar = &stack.containers("sidecar")[0];
        Stack::docker(&["inspect", "--format", "{{.State.Health.Status}}", sidecar]) == "healthy"
    })
    .await;
}

/// A sick backend is taken out and nothing else happens; the edge knows when the sidecar is back.
pub async fn without_its_sidecar_the_edge_serves(stack: &Stack) {
    let sidecar = stack.containers("sidecar")[0].clone();
    Stack::docker(&["kill", &sidecar]);
    let container = stack.containers("backend")[0].clone();
    let under_load = Instant::now();
    let load = Load::start(front(), "/api/notes/", 50);
    Stack::docker(&["exec", &container, "pkill", "-STOP", "-P", "1"]);
    let is_told = || stack.manager_log().matches("failing backends are ejected").count();
    eventually("it is told", || async { is_told() != 0 }).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let up = stack.states("backend").await.iter().filter(|state| *state == "up").count();
    assert_eq!((up, is_told()), (2, 1), "one is out, and one line says why nothing is done");
    let long = under_load.elapsed();
    let outcome = load.end().await;
    println!("without a sidecar: {outcome}");
    let harmed = outcome.last_harm(outcome.start()).unwrap_or_default() + Duration::from_secs(3);
    assert!(harmed < long, "{outcome}: nobody is harmed once it is out");
    Stack::docker(&["start", &sidecar]);
    // The scenarios that follow show that it heals again; here Gunicorn's own timeout may be quicker.
    eventually("it is told", || async { stack.manager_log().contains("the sidecar responds again") }).await;
    eventually("everyone is up", || async { stack.states("backend").await == ["up"; 3] }).await;
    stack.cool_down().await;
}
