//! Containers that go away with their test, and a client that asks them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use remora::config::model::{DockerSpec, Preset, Step};
use remora::docker::{ContainerRef, Docker, ExecError};
use remora::heal::{StepDone, StepFinding, check_steps, run_step};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// The real daemon.
pub fn docker() -> Docker {
    Docker::connect(&DockerSpec::Auto)
}

/// Runs the `docker` command.
pub fn cli(args: &[&str]) -> Output {
    Command::new("docker").args(args).output().expect("the docker command")
}

/// Runs it and returns what it prints.
pub fn say(args: &[&str]) -> String {
    let output = cli(args);
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    text
}

/// The first of these images that is here.
pub fn image(names: &[&str]) -> String {
    let here = |name: &&&str| cli(&["image", "inspect", name]).status.success();
    match names.iter().find(here) {
        Some(name) => (*name).to_owned(),
        None => panic!("none of {names:?} is here: run `make images`"),
    }
}

/// Deadline of one step.
pub const LIMIT: Duration = Duration::from_secs(15);

/// Runs one step in a container, as the healer would.
pub async fn perform(docker: &Docker, container: &Box, step: &Step) -> Result<StepDone, ExecError> {
    run_step(docker, &container.found(docker).await, step, LIMIT).await
}

/// Runs a preset, whose command must at least start.
pub async fn cure(docker: &Docker, container: &Box, preset: Preset) -> StepDone {
    perform(docker, container, &Step::Preset(preset)).await.expect("the preset's command starts")
}

/// What the doctor says of one step.
pub async fn judged(docker: &Docker, container: &Box, step: Step) -> StepFinding {
    check_steps(docker, &container.found(docker).await, &[step]).await.remove(0)
}

/// Gunicorn and uvicorn in a slim image, without procps.
pub fn slim() -> String {
    image(&["remora-test/slim:latest"])
}

/// The same with procps, tini and supervisor.
pub fn programs() -> String {
    image(&["remora-test/programs:latest"])
}

pub fn debian() -> String {
    image(&["remora-base/debian:bookworm", "debian:bookworm-slim"])
}

/// A name for a compose project of a test's own.
pub fn project() -> String {
    format!("remora-test-{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// A container of a compose project of its own, removed when dropped.
pub struct Box {
    pub name: String,
    pub project: String,
}

impl Box {
    /// `docker run -d` with compose's labels; `options` go before the image, `command` after it.
    pub fn run(service: &str, options: &[&str], image: &str, command: &[&str]) -> Self {
        Self::run_in(&project(), service, options, image, command)
    }

    /// The same in a project that there is.
    pub fn run_in(project: &str, service: &str, options: &[&str], image: &str, command: &[&str]) -> Self {
        let (project, number) = (project.to_owned(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let name = format!("{project}_{service}_{number}");
        let labels = [
            format!("com.docker.compose.project={project}"),
            format!("com.docker.compose.service={service}"),
            "com.docker.compose.oneoff=False".to_owned(),
        ];
        let mut args = vec!["run", "-d", "--name", &name];
        labels.iter().for_each(|label| args.extend(["--label", label]));
        args.extend(options);
        args.push(image);
        args.extend(command);
        say(&args);
        Self { name, project }
    }

    pub fn inspect(&self, format: &str) -> String {
        say(&["inspect", "-f", format, &self.name])
    }

    pub fn address(&self, port: u16) -> SocketAddr {
        let mut found = None;
        // Docker says that it runs a moment before it has one.
        eventually("it has an address", || {
            found = self.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}").parse().ok();
            found.is_some()
        });
        SocketAddr::new(found.expect("an address"), port)
    }

    /// What a shell in it prints, as root.
    pub fn shell(&self, script: &str) -> String {
        let output = cli(&["exec", "-u", "0", &self.name, "sh", "-c", script]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The container as `docker/` finds it.
    pub async fn found(&self, docker: &Docker) -> ContainerRef {
        docker.find(self.address(80), "nobody").await.expect("found by its address")
    }

    /// Waits until a GET of `/` on port 80 is answered.
    pub fn answers(&self) -> SocketAddr {
        let address = self.address(80);
        eventually("it answers", || get(address, "/", Duration::from_millis(500)).is_ok());
        address
    }

    /// Id and start of the container, which no heal but a restart may change.
    pub fn identity(&self) -> String {
        self.inspect("{{.Id}} {{.State.StartedAt}} {{.RestartCount}}")
    }

    /// Pids and arguments of everything that runs in it, one process a line.
    pub fn processes(&self) -> String {
        self.shell("for f in /proc/[0-9]*; do echo \"${f#/proc/} $(tr '\\0' ' ' <$f/cmdline)\"; done 2>/dev/null")
    }
}

impl Drop for Box {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- processes of {}\n{}", self.name, self.processes());
            eprintln!("--- log\n{}", say(&["logs", "--tail", "40", &self.name]));
        }
        cli(&["rm", "-f", "-v", &self.name]);
    }
}

/// Status and body of a GET, or what went wrong.
pub fn get(address: SocketAddr, path: &str, limit: Duration) -> Result<(u16, String), String> {
    ask("GET", address, path, limit)
}

/// The same of a POST without a body.
pub fn post(address: SocketAddr, path: &str, limit: Duration) -> Result<(u16, String), String> {
    ask("POST", address, path, limit)
}

fn ask(method: &str, address: SocketAddr, path: &str, limit: Duration) -> Result<(u16, String), String> {
    let run = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = run().map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("no answer: {answer:?}"))?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or("no status")?;
    Ok((status, body.trim().to_owned()))
}

/// Waits until it is so, for a minute at most.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "after a minute still not: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
    started.elapsed()
}
