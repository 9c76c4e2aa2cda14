//! Gunicorn's presets: HUP reaches the master alone, however it was started and whatever the image lacks.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use remora::config::model::{Preset, Step};
use remora::docker::Docker;
use remora::heal::{StepDone, run_step};

use crate::bench::{Box, docker, eventually, get, image};

const LIMIT: Duration = Duration::from_secs(15);
/// A page that takes `?` seconds, and tells which process answered.
const APP: &str = "import os, time\n\
def app(environ, start):\n    \
    time.sleep(float(environ['QUERY_STRING'] or 0))\n    \
    start('200 OK', [('Content-Type', 'text/plain')])\n    \
    return [str(os.getpid()).encode()]\n";

/// The ways people start Gunicorn.
pub const STARTS: [(&str, &str); 4] = [
    ("PID 1", "exec gunicorn -w 2 -b 0.0.0.0:80 app:app"),
    ("a shell's child", "gunicorn -w 2 -b 0.0.0.0:80 app:app; exit $?"),
    ("python -m", "exec python3 -m gunicorn -w 2 -b 0.0.0.0:80 app:app"),
    ("python -m, a shell's child", "python3 -u -m gunicorn -w 2 -b 0.0.0.0:80 app:app; exit $?"),
];

pub fn start(command: &str) -> Box {
    let script = format!("cd /tmp && printf '%s' \"$APP\" >app.py && {command}");
    let options = ["-e", &format!("APP={APP}"), "--user", "0", "-w", "/tmp", "--entrypoint", "sh"];
    let container = Box::run("backend", &options, &image(&["remora-backend:latest"]), &["-c", &script]);
    let address = container.address(80);
    eventually("gunicorn answers", || get(address, "/", Duration::from_secs(1)).is_ok());
    container
}

async fn perform(docker: &Docker, container: &Box, preset: Preset) -> StepDone {
    let found = container.found(docker).await;
    run_step(docker, &found, &Step::Preset(preset), LIMIT).await.unwrap()
}

/// Stops every worker: a gunicorn whose parent is one.
pub fn freeze(container: &Box) {
    let script = "all=$(ps -eo pid,ppid,args | awk '/[g]unicorn -w/ && !/sh -c/ { parent[$1] = $2 } \
        END { for (pid in parent) if (parent[pid] in parent) print pid }'); kill -STOP $all && echo $all";
    eventually("the workers are frozen", || 2 <= container.shell(script).split_whitespace().count());
}

/// Pids of the workers that answer.
pub fn workers(address: SocketAddr) -> Vec<String> {
    let mut pids: Vec<String> =
        (0..20).filter_map(|_| get(address, "/?0.01", Duration::from_secs(2)).ok()).map(|(_, pid)| pid).collect();
    pids.sort();
    pids.dedup();
    pids
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_reload_replaces_the_workers_and_loses_no_request() {
    for (how, command) in STARTS {
        let (docker, container) = (docker(), start(command));
        let address = container.address(80);
        let before = workers(address);
        let slow = std::thread::spawn(move || get(address, "/?2", Duration::from_secs(10)));
        std::thread::sleep(Duration::from_millis(300));
        let done = perform(&docker, &container, Preset::GunicornReload).await;
        assert_eq!(done.code, Some(0), "{how}: {}", done.output);
        assert!(done.output.starts_with("HUP to master "), "{how}: {}", done.output);
        assert_eq!(done.output.split(' ').count(), 4, "{how}: one master: {}", done.output);
        println!("{how}: reload took {:?}: {}", done.took, done.output);
        let answer = slow.join().unwrap();
        assert_eq!(answer.as_ref().map(|(status, _)| *status), Ok(200), "{how}: in flight: {answer:?}");
        eventually("only new workers answer", || {
            let after = workers(address);
            !after.is_empty() && after.iter().all(|pid| !before.contains(pid))
        });
    }
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn frozen_workers_are_replaced_by_either_step() {
    for (how, command) in STARTS {
        for preset in [Preset::GunicornReload, Preset::GunicornKillWorkers] {
            let (docker, container) = (docker(), start(command));
            let address = container.address(80);
            freeze(&container);
            assert!(get(address, "/", Duration::from_millis(500)).is_err(), "{how}: frozen");
            let started = Instant::now();
            let done = perform(&docker, &container, preset.clone()).await;
            assert_eq!(done.code, Some(0), "{how}: {}", done.output);
            eventually("it answers again", || get(address, "/", Duration::from_millis(500)).is_ok());
            println!("{how}: {preset}: step {:?}, answers after {:?}", done.took, started.elapsed());
            assert_eq!(container.inspect("{{.RestartCount}} {{.State.Running}}"), "0 true", "{how}");
        }
    }
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn where_no_gunicorn_runs_the_step_says_so() {
    let (docker, image) = (docker(), image(&["remora-backend:latest"]));
    let container = Box::run("backend", &["--entrypoint", "sleep"], &image, &["3600"]);
    let done = perform(&docker, &container, Preset::GunicornReload).await;
    assert_eq!((done.code, done.output.as_str()), (Some(3), "gunicorn is not running"));
}
