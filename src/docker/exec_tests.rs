//! Rows for how commands are built and how their ends are read.

use super::*;
use crate::docker::{ContainerName, RestartPolicy};

fn container() -> ContainerRef {
    ContainerRef {
        id: ContainerId::parse("0123456789abcdef").unwrap(),
        name: ContainerName::parse("backend-1").unwrap(),
        state: ContainerState::Running,
        started_at: None,
        restart_policy: RestartPolicy::No,
        stop_signal: None,
        command: Vec::new(),
        start_period: Duration::ZERO,
    }
}

#[test]
fn a_command_runs_under_timeout_unless_it_only_sends_a_signal() {
    let argv = |words: &[&str], millis| {
        let command = Command::new(words.iter().copied());
        if is_wrapped(&command) { under_timeout(&command, Duration::from_millis(millis)).argv } else { command.argv }
    };
    assert_eq!(argv(&["pm2", "reload", "a b;c"], 15_000), ["timeout", "-s", "KILL", "15", "pm2", "reload", "a b;c"]);
    assert_eq!(argv(&["x"], 1_200), ["timeout", "-s", "KILL", "2", "x"]);
    assert_eq!(argv(&["x"], 100), ["timeout", "-s", "KILL", "1", "x"]);
    assert_eq!(argv(&["pkill", "-HUP", "-f", "gunicorn"], 15_000), ["pkill", "-HUP", "-f", "gunicorn"]);
    assert_eq!(argv(&["/usr/bin/pkill", "x"], 15_000), ["/usr/bin/pkill", "x"]);
}

#[test]
fn what_is_no_command_is_refused_before_docker_hears_of_it() {
    assert!(check(&Command::new(["true"])).is_ok());
    for argv in [vec![], vec![""], vec!["a", "b\0c"]] {
        let error = check(&Command::new(argv)).unwrap_err();
        assert!(matches!(error, ExecError::BadCommand(_)) && error.is_permanent(), "{error}");
    }
    assert!(check(&Command::new(["true"]).by("a\0b")).is_err());
}

/// The kind of an error, and whether it is permanent (P) or somebody else's (E).
fn kind(error: &ExecError) -> &'static str {
    let word = match error {
        ExecError::NotFound { .. } => "not found P",
        ExecError::NotExecutable { .. } => "not executable P",
        ExecError::BadCommand(_) => "bad P",
        ExecError::TimedOut { .. } => "timed out",
        ExecError::Busy { .. } => "busy",
        ExecError::NotRunning { state: ContainerState::Paused, .. } => "paused E",
        ExecError::NotRunning { state: ContainerState::Restarting, .. } => "restarting E",
        ExecError::NotRunning { .. } => "not running E",
        ExecError::Gone(_) => "gone E",
        ExecError::WouldDisarm { .. } => "disarm P",
        ExecError::Docker(DockerError::Refused { status: 403, .. }) => "forbidden P",
        ExecError::Docker(DockerError::Refused { .. }) => "refused",
        ExecError::Refused(_) => "refused E",
        ExecError::Docker(_) => "docker E",
    };
    assert_eq!(word.ends_with('P'), error.is_permanent(), "{error}");
    assert_eq!(word.ends_with('E'), error.is_elsewhere(), "{error}");
    word
}

#[test]
fn refusals_of_the_daemon_are_understood() {
    #[rustfmt::skip]
    let rows = [
        (404, "No such container: x", "gone E"),
        (409, "Container x is paused, unpause the container before exec", "paused E"),
        (409, "Container x is restarting, wait until the container is running", "restarting E"),
        (409, "Container x is not running", "not running E"),
        (500, "Container x is not running", "not running E"),
        (400, "OCI runtime exec failed: exec failed: unable to start container process: exec: \"pm2\": executable file not found in $PATH: unknown", "not found P"),
        (500, "OCI runtime exec failed: exec: \"/app\": permission denied: unknown", "not executable P"),
        (500, "OCI runtime exec failed: stat /x: no such file or directory", "not found P"),
        (403, "Forbidden", "forbidden P"),
        (500, "cannot fork: resource temporarily unavailable", "refused"),
    ];
    for (status, message, expected) in rows {
        let error = DockerError::Refused { status, message: message.into() };
        assert_eq!(kind(&from_docker(error, &container(), &Command::new(["x"]))), expected, "{status} {message}");
    }
    assert_eq!(kind(&from_docker(DockerError::Silent("x".into()), &container(), &Command::new(["x"]))), "docker E");
}

#[test]
fn exit_codes_that_mean_never_run_are_permanent() {
    #[rustfmt::skip]
    let rows = [
        (0,   "", "", "ok"),
        (1,   "", "no process found", "ok"),
        (127, "", "timeout: failed to run command 'pm2': No such file or directory", "not found P"),
        (126, "", "timeout: failed to run command '/app': Permission denied", "not executable P"),
        (126, "OCI runtime exec failed: exec: \"pm2\": executable file not found in $PATH", "", "not found P"),
        (127, "", "", "not found P"),
        (126, "", "", "not executable P"),
        (143, "", "", "ok"),
    ];
    for (code, stdout, stderr, expected) in rows {
        let outcome = ExecOutcome { code, stdout: stdout.into(), stderr: stderr.into(), took: Duration::ZERO };
        let found = match settle(&container(), &Command::new(["pm2"]), outcome) {
            Ok(_) => "ok",
            Err(error) => kind(&error),
        };
        assert_eq!(found, expected, "{code} {stdout} {stderr}");
    }
}

#[test]
fn a_missing_timeout_is_told_from_a_missing_program() {
    let said = "OCI runtime exec failed: exec: \"timeout\": executable file not found in $PATH: unknown";
    let missing = |said: &str| match unrunnable(&container(), &Command::new(["pm2"]), said, Unrunnable::NotFound) {
        ExecError::NotFound { command, .. } => command,
        other => other.to_string(),
    };
    assert_eq!(missing(said), "timeout");
    assert_eq!(missing("timeout: can't execute 'pm2': No such file or directory"), "pm2");
}
