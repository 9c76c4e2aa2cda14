//! Compose projects as a user starts them, each under a name and a port of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::load::get;

/// Longest wait for anything that should happen.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The folder that everything is in.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

/// Runs the `docker` command and returns what it prints.
pub fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "docker {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}

/// Waits until `holds` answers true, and says how long that took.
///
/// # Panics
/// When it does not within [`PATIENCE`].
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) -> Duration {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} until {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    start.elapsed()
}

/// A Compose project; taken down with its volumes when dropped, unless `KEEP_STACK` is set.
pub struct Project {
    name: String,
    files: Vec<PathBuf>,
    environment: Vec<(String, String)>,
    port: u16,
    started: Instant,
}

impl Project {
    /// `docker-compose -p remora-NAME -f FILE…`, with what an earlier run left taken down. The files are relative to the
    /// project's root; `REMORA_PORT` is set to the port, as every stack here reads it.
    pub fn new(name: &str, port: u16, files: &[&str]) -> Self {
        let files = files.iter().map(|file| root().join(file)).collect();
        let environment = vec![("REMORA_PORT".to_owned(), port.to_string())];
        let project = Self { name: format!("remora-{name}"), files, environment, port, started: Instant::now() };
        project.down();
        project
    }

    /// Sets a variable of the environment that the files are read with.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Where clients find the edge.
    pub fn front(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The Compose project's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("docker-compose");
        command.args(["-p", &self.name]);
        for file in &self.files {
            command.arg("-f").arg(file);
        }
        command.args(arguments).envs(self.environment.iter().map(|(name, value)| (name, value))).output().unwrap()
    }

    /// Runs docker-compose on this project and returns what it prints; panics where it fails.
    pub fn compose(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = text(&output.stdout);
        assert!(output.status.success(), "docker-compose {arguments:?}: {said}{}", text(&output.stderr));
        said
    }

    /// `docker-compose up -d --no-build`, with further words such as `--scale api=2` or services.
    pub fn up(&mut self, more: &[&str]) {
        self.started = Instant::now();
        self.compose(&[&["up", "-d", "--no-build"], more].concat());
    }

    /// Waits until a path answers 200 through the edge; prints and returns the time since [`Project::up`].
    pub async fn answers(&self, path: &str) -> Duration {
        eventually(path, || async { get(self.front(), path).await.is_ok_and(|answer| answer.status == 200) }).await;
        let took = self.started.elapsed();
        println!("{}: {path} answers {:.1} s after `docker-compose up -d`", self.name, took.as_secs_f64());
        took
    }

    /// The containers of a service.
    pub fn containers(&self, service: &str) -> Vec<String> {
        self.compose(&["ps", "-q", service]).lines().map(str::to_owned).collect()
    }

    /// What `remora status --json` tells inside the edge's service.
    pub fn status(&self, edge: &str) -> serde_json::Value {
        let shown = self.compose(&["exec", "-T", edge, "remora", "status", "--json"]);
        serde_json::from_str(&shown).unwrap()
    }

    /// The states of an upstream's backends, those that are leaving left out.
    pub fn states(&self, edge: &str, upstream: &str) -> Vec<String> {
        let status = self.status(edge);
        let found = status["upstreams"].as_array().unwrap().iter().find(|entry| entry["name"] == upstream).unwrap();
        let states = found["backends"].as_array().unwrap().iter().map(|backend| backend["state"].as_str().unwrap());
        states.filter(|state| *state != "draining").map(str::to_owned).collect()
    }

    /// Waits until so many backends of an upstream are up, and no other is there.
    pub async fn all_up(&self, edge: &str, upstream: &str, count: usize) -> Duration {
        let all = vec!["up"; count];
        eventually("everyone is up", || async { self.states(edge, upstream) == all }).await
    }

    /// The lines a service has written.
    pub fn log(&self, service: &str) -> String {
        self.compose(&["logs", "--no-color", service])
    }

    fn down(&self) {
        self.run(&["down", "-v", "--remove-orphans", "-t", "5"]);
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- {}\n{}", self.name, text(&self.run(&["logs", "--no-color", "--tail", "60"]).stdout));
        }
        if std::env::var_os("KEEP_STACK").is_none() {
            self.down();
        }
    }
}
