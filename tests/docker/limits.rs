//! Containers that are at their limits, that end, or that are on their way.

use std::time::{Duration, Instant};

use remora::config::model::{Preset, Step};
use remora::docker::{Command, ContainerState, ExecError};

use crate::bench::{Box, LIMIT, cure, debian, docker, eventually, get, perform, programs, say, slim};
use crate::gunicorn::freeze;

const GUNICORN: &str = "exec gunicorn -w 2 -b 0.0.0.0:80 app:wsgi";

fn gunicorn(options: &[&str]) -> Box {
    let container = Box::run("api", options, &programs(), &["sh", "-c", GUNICORN]);
    container.answers();
    container
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn where_no_process_can_start_a_restart_still_helps() {
    let (docker, container) = (docker(), gunicorn(&["--pids-limit", "40"]));
    let before = container.identity();
    freeze(&container);
    // As a fork bomb that has burnt out would leave it.
    let fill = "i=0; while [ $i -lt 60 ]; do sleep 3600 & i=$((i + 1)); done";
    crate::bench::cli(&["exec", "-d", &container.name, "sh", "-c", fill]);
    eventually("no process can be forked", || container.shell("said=$(echo free); echo $said").is_empty());
    let started = Instant::now();
    let outcome = perform(&docker, &container, &Step::Preset(Preset::GunicornKillWorkers)).await;
    println!("{outcome:?}");
    assert!(!matches!(&outcome, Ok(done) if done.code == Some(0)), "it cannot have worked");
    assert!(started.elapsed() < LIMIT, "{:?}", started.elapsed());
    perform(&docker, &container, &Step::Restart).await.unwrap();
    container.answers();
    assert_ne!(container.identity(), before);
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_command_that_runs_out_of_memory_ends_and_is_an_outcome() {
    let (docker, container) = (docker(), gunicorn(&["--memory", "96m", "--memory-swap", "96m"]));
    let before = container.identity();
    let eat = Step::Exec(["python", "-c", "x = 'x' * 400_000_000"].map(str::to_owned).into());
    let done = perform(&docker, &container, &eat).await.unwrap();
    println!("{done:?}");
    assert_eq!(done.code, Some(137), "killed by the kernel: {done:?}");
    assert_eq!(cure(&docker, &container, Preset::GunicornReload).await.code, Some(0));
    container.answers();
    assert_eq!(container.identity(), before);
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_read_only_container_is_healed_like_any_other() {
    let (docker, container) = (docker(), gunicorn(&["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"]));
    let address = container.address(80);
    for preset in [Preset::GunicornReload, Preset::GunicornKillWorkers] {
        freeze(&container);
        assert_eq!(cure(&docker, &container, preset).await.code, Some(0));
        eventually("it answers again", || get(address, "/", Duration::from_millis(300)).is_ok());
    }
    let write = Step::Exec(["touch", "/srv/x"].map(str::to_owned).into());
    let done = perform(&docker, &container, &write).await.unwrap();
    assert!(done.code == Some(1) && done.output.contains("Read-only"), "{done:?}");
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_command_ends_with_its_container() {
    for end in ["kill", "restart"] {
        let (docker, container) = (docker(), Box::run("api", &[], &debian(), &["sleep", "3600"]));
        let found = container.found(&docker).await;
        let name = container.name.clone();
        let stopper = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(500)); // the command runs by then
            if end == "kill" { say(&["kill", &name]) } else { say(&["restart", "-t", "0", &name]) }
        });
        let started = Instant::now();
        let outcome = docker.exec(&found, &Command::new(["sleep", "60"]), LIMIT).await;
        println!("{end}: {outcome:?} after {:?}", started.elapsed());
        assert!(!matches!(&outcome, Ok(outcome) if outcome.code == 0), "{end}");
        assert!(started.elapsed() < Duration::from_secs(5), "{end}: {:?}", started.elapsed());
        stopper.join().unwrap();
        let next = docker.exec(&found, &Command::new(["echo", "next"]), LIMIT).await;
        match end {
            "kill" => assert!(matches!(next, Err(ExecError::NotRunning { .. })), "{next:?}"),
            _ => assert_eq!(next.unwrap().stdout, "next"),
        }
    }
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_container_that_is_being_restarted_is_docker_s() {
    let docker = docker();
    let ends = "if [ -e /x ]; then sleep 0.2; else touch /x; sleep 3; fi; exit 1";
    let container = Box::run("api", &["--restart", "always"], &debian(), &["sh", "-c", ends]);
    let (address, id) = (container.address(80), container.found(&docker).await.id);
    // It waits twice as long each time: now for seconds.
    let waits = |seen: &str| {
        seen.strip_suffix(" true").and_then(|count| count.parse().ok()).is_some_and(|count: u32| 5 <= count)
    };
    eventually("Docker waits long", || waits(&container.inspect("{{.RestartCount}} {{.State.Restarting}}")));
    // By its labels: it has no address just now.
    let found = docker.find(address, "api").await.unwrap();
    assert_eq!((found.state, found.id.as_str()), (ContainerState::Restarting, id.as_str()));
    let error = docker.exec(&found, &Command::new(["true"]), LIMIT).await.unwrap_err();
    assert!(matches!(&error, ExecError::NotRunning { state: ContainerState::Restarting, .. }), "{error}");
    assert!(error.is_elsewhere(), "{error}");
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn after_a_heal_by_signal_docker_still_restarts_what_dies() {
    let (docker, container) =
        (docker(), Box::run("api", &["--restart", "unless-stopped"], &slim(), &["sh", "-c", GUNICORN]));
    container.answers();
    for preset in [Preset::GunicornReload, Preset::GunicornKillWorkers] {
        assert_eq!(cure(&docker, &container, preset).await.code, Some(0));
        container.answers();
    }
    assert_eq!(container.inspect("{{.RestartCount}}"), "0");
    let pid = container.inspect("{{.State.Pid}}");
    assert!(std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
    eventually("Docker brings it back", || container.inspect("{{.RestartCount}} {{.State.Running}}") == "1 true");
    container.answers();
}
