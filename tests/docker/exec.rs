//! Commands, their deadlines and their failures.

use std::time::{Duration, Instant};

use remora::config::model::Signal;
use remora::docker::{Command, ContainerState, ExecError, FindError, SentBy};

use crate::bench::{Box, cli, debian, docker, eventually, say};

const LIMIT: Duration = Duration::from_secs(5);

fn sleeper(options: &[&str]) -> Box {
    Box::run("sleeper", options, &debian(), &["sleep", "3600"])
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn commands_are_arguments_with_an_end_and_an_output() {
    let (docker, container) = (docker(), sleeper(&[]));
    let found = container.found(&docker).await;
    let run = async |words: &[&str]| docker.exec(&found, &Command::new(words.iter().copied()), LIMIT).await;

    let outcome = run(&["printf", "%s|", "a b", "$(id)", ";", "x"]).await.unwrap();
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, "a b|$(id)|;|x|"));
    println!("an exec took {:?}", outcome.took);
    let outcome = run(&["sh", "-c", "echo out; echo err >&2; exit 7"]).await.unwrap();
    assert_eq!((outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()), (7, "out", "err"));
    let outcome = run(&["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo END"]).await.unwrap();
    assert!(outcome.stdout.ends_with("xEND") && outcome.stdout.len() <= 4100, "{}", outcome.stdout.len());

    let by = Command { env: vec!["A=b c".into()], ..Command::new(["sh", "-c", "id -u; echo $A"]).by("65534") };
    assert_eq!(docker.exec(&found, &by, LIMIT).await.unwrap().stdout, "65534\nb c");
    assert_eq!(say(&["exec", &container.name, "id", "-u"]), "0");
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn what_cannot_be_run_is_a_permanent_error() {
    let (docker, container) = (docker(), sleeper(&[]));
    let found = container.found(&docker).await;
    for words in [["pkill", "-HUP", "x"], ["nosuchprogram", "a", "b"]] {
        let error = docker.exec(&found, &Command::new(words), LIMIT).await.unwrap_err();
        assert!(matches!(&error, ExecError::NotFound { command, .. } if command == words[0]), "{error}");
    }
    let error = docker.exec(&found, &Command::new(["/etc/passwd"]), LIMIT).await.unwrap_err();
    assert!(matches!(&error, ExecError::NotExecutable { .. }) && error.is_permanent(), "{error}");
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_hanging_command_is_killed_by_the_containers_own_timeout() {
    let (docker, container) = (docker(), sleeper(&[]));
    let found = container.found(&docker).await;
    let started = Instant::now();
    let hang = Command::new(["sh", "-c", "echo working; trap '' TERM HUP; sleep 999 & wait"]);
    let error = docker.exec(&found, &hang, Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(&error, ExecError::TimedOut { output, .. } if output == "working"), "{error}");
    assert!(started.elapsed() < Duration::from_millis(3_500), "{:?}", started.elapsed());
    assert!(!container.processes().contains("sleep 999"), "{}", container.processes());
    assert_eq!(docker.exec(&found, &Command::new(["echo", "next"]), LIMIT).await.unwrap().stdout, "next");
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn where_nothing_can_kill_it_no_second_command_starts() {
    let (docker, container) = (docker(), sleeper(&[]));
    let found = container.found(&docker).await;
    container.shell("rm /usr/bin/timeout");
    let ok = docker.exec(&found, &Command::new(["echo", "still"]), LIMIT).await.unwrap();
    assert_eq!(ok.stdout, "still", "runs without timeout");

    let hang = Command::new(["sleep", "30"]);
    let error = docker.exec(&found, &hang, Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, ExecError::TimedOut { .. }), "{error}");
    for _ in 0..3 {
        let error = docker.exec(&found, &Command::new(["echo", "second"]), LIMIT).await.unwrap_err();
        assert!(matches!(&error, ExecError::Busy { command, .. } if command == "sleep 30"), "{error}");
    }
    // A restart is not an exec, and ends what hangs.
    docker.restart(&found, Duration::from_secs(1)).await.unwrap();
    assert_eq!(docker.exec(&found, &Command::new(["echo", "free"]), LIMIT).await.unwrap().stdout, "free");
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_container_that_is_not_running_says_what_it_is() {
    let (docker, container) = (docker(), sleeper(&[]));
    let (address, found) = (container.address(80), container.found(&docker).await);
    let run = async || docker.exec(&found, &Command::new(["true"]), LIMIT).await.unwrap_err();

    say(&["pause", &container.name]);
    let error = run().await;
    assert!(matches!(error, ExecError::NotRunning { state: ContainerState::Paused, .. }), "{error}");
    assert!(error.is_elsewhere());
    assert_eq!(docker.find(address, "sleeper").await.unwrap().state, ContainerState::Paused);
    say(&["unpause", &container.name]);

    say(&["kill", &container.name]);
    let error = run().await;
    assert!(matches!(error, ExecError::NotRunning { state: ContainerState::Exited, .. }), "{error}");
    let exited = docker.find(address, "sleeper").await.unwrap();
    assert_eq!((exited.state, exited.id), (ContainerState::Exited, found.id.clone()), "by its labels");

    cli(&["rm", "-f", &container.name]);
    let error = run().await;
    assert!(matches!(error, ExecError::Gone(_)), "{error}");
    assert!(matches!(docker.find(address, "sleeper").await, Err(FindError::Gone { .. })));
}

const TRAPS: &str = "trap 'echo got HUP' HUP; trap 'exit 3' USR1; echo ready; while :; do sleep 0.1; done";

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_signal_leaves_the_restart_policy_armed() {
    let docker = docker();
    let container = Box::run("trap", &["--restart", "unless-stopped"], &debian(), &["sh", "-c", TRAPS]);
    eventually("the trap is set", || say(&["logs", &container.name]).contains("ready"));
    let found = container.found(&docker).await;
    let started = Instant::now();
    let sent = docker.signal(&found, Signal::Hup, LIMIT).await.unwrap();
    println!("a signal by exec took {:?}", started.elapsed());
    assert!(matches!(sent, SentBy::Exec(outcome) if outcome.code == 0));
    eventually("HUP arrives", || say(&["logs", &container.name]).contains("got HUP"));
    assert_eq!(container.inspect("{{.RestartCount}}"), "0");
    docker.signal(&found, Signal::Usr1, LIMIT).await.unwrap();
    eventually("Docker brings it back", || container.inspect("{{.RestartCount}} {{.State.Running}}") == "1 true");
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn without_a_shell_the_api_signals_only_where_the_policy_survives() {
    // sleep is PID 1 and ignores HUP; what counts is whether the API is used.
    for (policy, allowed) in [("unless-stopped", false), ("always", false), ("no", true)] {
        let (docker, container) = (docker(), sleeper(&["--restart", policy]));
        let found = container.found(&docker).await;
        container.shell("rm -f /bin/kill /usr/bin/kill /bin/bash; rm -f /bin/sh /bin/dash");
        match docker.signal(&found, Signal::Hup, LIMIT).await {
            Ok(SentBy::Api) => assert!(allowed, "{policy}"),
            Err(error @ ExecError::WouldDisarm { .. }) => assert!(!allowed && error.is_permanent(), "{policy}"),
            other => panic!("{policy}: {other:?}"),
        }
    }
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_restart_keeps_the_container_and_its_policy() {
    let docker = docker();
    let container = Box::run("trap", &["--restart", "unless-stopped"], &debian(), &["sh", "-c", TRAPS]);
    let found = container.found(&docker).await;
    docker.restart(&found, Duration::from_secs(1)).await.unwrap();
    let again = container.found(&docker).await;
    assert_eq!(again.id, found.id);
    assert!(found.started_at < again.started_at);
    eventually("the trap is set again", || say(&["logs", &container.name]).matches("ready").count() == 2);
    docker.signal(&again, Signal::Usr1, LIMIT).await.unwrap();
    eventually("Docker brings it back", || container.inspect("{{.RestartCount}} {{.State.Running}}") == "1 true");
}
