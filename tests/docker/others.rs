//! PM2 and systemd.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use remora::config::model::{Preset, Step};
use remora::heal::run_step;

use crate::bench::{Box, docker, eventually, get, image};

const LIMIT: Duration = Duration::from_secs(15);

fn daemons(container: &Box) -> usize {
    let processes = container.processes();
    let is_daemon = |line: &&str| line.contains("God Daemon") || line.contains("/pm2-runtime start");
    processes.lines().filter(|line| !line.contains("sh -c")).filter(is_daemon).count()
}

pub fn app_pid(container: &Box) -> String {
    container.shell("for f in /proc/[0-9]*; do case $(tr '\\0' ' ' <$f/cmdline) in 'node /app/server/main.js'*) echo ${f#/proc/};; esac; done")
}

/// The ways PM2 is found in containers: as the container's user, as another one, and as a daemon of its own.
fn starts() -> Vec<(&'static str, Box)> {
    let frontend = image(&["remora-frontend:latest"]);
    let drop = "exec setpriv --reuid 1000 --regid 1000 --clear-groups";
    let run = |options: &[&str], script: String| {
        let options: Vec<&str> = options.iter().copied().chain(["--entrypoint", "sh"]).collect();
        Box::run("frontend", &options, &frontend, &["-c", &script])
    };
    vec![
        ("the image as it is", Box::run("frontend", &[], &frontend, &[])),
        (
            "root's container, node's daemon, its home unknown to root",
            run(
                &["--user", "0", "-e", "PM2_HOME="],
                format!("{drop} env -u PM2_HOME HOME=/home/node pm2-runtime start ecosystem.config.cjs"),
            ),
        ),
        (
            "a God Daemon beside another PID 1",
            run(
                &["--user", "0", "-e", "PM2_HOME="],
                format!(
                    "{drop} env -u PM2_HOME HOME=/home/node sh -c 'pm2 start ecosystem.config.cjs; exec sleep 3600'"
                ),
            ),
        ),
    ]
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn pm2_is_told_as_its_own_user_and_no_second_daemon_appears() {
    let docker = docker();
    for (how, container) in starts() {
        let docker = if how == "the image as it is" { &docker } else { &crate::bench::docker() };
        let address = container.address(3000);
        eventually("the app answers", || get(address, "/health", Duration::from_secs(1)).is_ok());
        let (before, found) = (app_pid(&container), container.found(docker).await);
        for preset in [Preset::Pm2Reload("app".into()), Preset::Pm2Restart("app".into())] {
            let done = run_step(docker, &found, &Step::Preset(preset.clone()), LIMIT).await.unwrap();
            assert_eq!(done.code, Some(0), "{how}: {preset}: {}", done.output);
            assert!(!done.output.contains('\u{1b}'), "no colours: {}", done.output);
            assert!(!done.output.contains("KILL"), "a live event loop is asked politely: {}", done.output);
            println!("{how}: {preset} took {:?}", done.took);
            eventually("the app answers again", || get(address, "/health", Duration::from_secs(1)).is_ok());
        }
        assert_ne!(before, app_pid(&container), "{how}: another process");
        assert_eq!(daemons(&container), 1, "{how}:\n{}", container.processes());

        let unknown = Step::Preset(Preset::Pm2Reload("nosuchapp".into()));
        assert_eq!(run_step(docker, &found, &unknown, LIMIT).await.unwrap().code, Some(1), "{how}");
        assert_eq!(daemons(&container), 1, "{how}");
    }
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_blocked_event_loop_is_replaced_without_waiting_for_it() {
    let image = image(&["remora-frontend:latest"]);
    let (docker, container) = (docker(), Box::run("frontend", &["-e", "SAMPLE_FAULTS=1"], &image, &[]));
    let address = container.address(3000);
    let answers = || get(address, "/health", Duration::from_millis(500)).is_ok();
    eventually("the app answers", answers);
    let found = container.found(&docker).await;
    let hang = "fetch('http://127.0.0.1:3000/_fault/hang', { method: 'POST', signal: AbortSignal.timeout(500) }).catch(() => {})";
    for (what, block) in
        [("frozen", format!("kill -STOP {}", app_pid(&container))), ("blocked", format!("node -e \"{hang}\""))]
    {
        container.shell(&block);
        assert!(!answers(), "{what}");
        let (before, started) = (app_pid(&container), Instant::now());
        let done = run_step(&docker, &found, &Step::Preset(Preset::Pm2Reload("app".into())), LIMIT).await.unwrap();
        assert_eq!(
            (done.code, done.output.trim()),
            (Some(0), &*format!("KILL to {before}, whose event loop is blocked"))
        );
        eventually("the app answers again", answers);
        println!("{what}: pm2 reload took {:?}, answers after {:?}", done.took, started.elapsed());
    }
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn where_no_pm2_runs_none_is_started() {
    let (docker, image) = (docker(), image(&["remora-frontend:latest"]));
    let container = Box::run("frontend", &["--entrypoint", "sleep"], &image, &["3600"]);
    let found = container.found(&docker).await;
    let done = run_step(&docker, &found, &Step::Preset(Preset::Pm2Reload("app".into())), LIMIT).await.unwrap();
    assert_eq!((done.code, done.output.as_str()), (Some(3), "the PM2 daemon is not running"));
    assert_eq!(daemons(&container), 0);
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn systemctl_brings_a_killed_database_back() {
    let docker = docker();
    #[rustfmt::skip]
    let options = ["--cap-add", "SYS_ADMIN", "--security-opt", "apparmor:unconfined", "-t",
        "--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp",
        "-e", "MYSQL_DATABASE=x", "-e", "MYSQL_USER=x", "-e", "MYSQL_PASSWORD=x"];
    let container = Box::run("database", &options, &image(&["remora-database:latest"]), &[]);
    let (address, found) = (container.address(3306), container.found(&docker).await);
    let answers = || TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok();
    eventually("the database answers", answers);
    let started_at = container.inspect("{{.Id}} {{.State.StartedAt}}");
    // More often than systemd lets a unit start in a row.
    for round in 1..=7 {
        container.shell("systemctl kill -s KILL mariadb; systemctl stop mariadb");
        assert!(!answers(), "killed");
        let started = Instant::now();
        let done = run_step(&docker, &found, &Step::Preset(Preset::Systemd("mysql".into())), LIMIT).await.unwrap();
        assert_eq!(done.code, Some(0), "{}", done.output);
        eventually("the database answers again", answers);
        println!("round {round}: systemctl took {:?}, answers after {:?}", done.took, started.elapsed());
    }
    assert_eq!(container.inspect("{{.Id}} {{.State.StartedAt}}"), started_at, "the container is what it was");
    let done = run_step(&docker, &found, &Step::Preset(Preset::Systemd("nosuchunit".into())), LIMIT).await.unwrap();
    assert!(done.code != Some(0) && done.output.contains("not found"), "{done:?}");
}
