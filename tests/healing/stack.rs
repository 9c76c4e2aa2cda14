//! The edge and what stands behind it as a Compose project of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::edge;
use crate::host::{address, docker};
use crate::load;
use crate::programs::Program;

/// The healer's grace after its start, and a little.
const GRACE: Duration = Duration::from_secs(11);

/// A running project; taken down when dropped.
pub struct Stack {
    folder: tempfile::TempDir,
    /// The edge's container.
    pub edge: String,
    started: Instant,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn project() -> String {
    std::env::var("HEALING_PROJECT").unwrap_or_else(|_| "remora-healing".into())
}

fn binary() -> PathBuf {
    let named = std::env::var_os("HEALING_BINARY").map(PathBuf::from);
    let binary = named.unwrap_or_else(|| env!("CARGO_BIN_EXE_remora").into());
    binary.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", binary.display()))
}

/// Waits for it; says in how long, or that it never came.
pub async fn within<F: Future<Output = bool>>(limit: Duration, mut holds: impl FnMut() -> F) -> Option<Duration> {
    let start = Instant::now();
    while !holds().await {
        if limit < start.elapsed() {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Some(start.elapsed())
}

impl Stack {
    /// Three replicas of a program behind the edge, all up, and the healer past its grace.
    pub async fn up(program: &Program, heals: bool) -> Self {
        let counts: &[(&str, usize)] =
            if program.has_database() { &[("database", 1), ("backend", 3)] } else { &[("backend", 3)] };
        let stack = Self::start(program.services(!heals), &program.configuration(heals), None, counts).await;
        for (service, count) in counts {
            stack.all_up(service, *count, Duration::from_secs(120)).await;
        }
        stack.grace().await;
        stack
    }

    /// `docker-compose up -d` with the edge beside these services.
    pub async fn start(
        mut services: Value,
        configuration: &str,
        upstreams: Option<&Path>,
        counts: &[(&str, usize)],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let conf = folder.path().join("conf");
        std::fs::create_dir(&conf).unwrap();
        std::fs::write(conf.join("remora.yaml"), configuration).unwrap();
        let mut volumes = vec![
            format!("{}:/etc/remora:ro", conf.display()),
            format!("{}:/usr/local/bin/remora:ro", binary().display()),
            "/var/run/docker.sock:/var/run/docker.sock".to_owned(),
        ];
        volumes.extend(upstreams.map(|folder| format!("{}:/etc/upstreams:ro", folder.display())));
        services["edge"] =
            json!({ "image": "remora:latest", "user": "0", "volumes": volumes, "restart": "unless-stopped" });
        let file = json!({ "version": "2.4", "services": services });
        std::fs::write(folder.path().join("compose.json"), file.to_string()).unwrap();
        let mut stack = Self { folder, edge: String::new(), started: Instant::now() };
        stack.compose(&["down", "-v", "--remove-orphans", "-t", "1"]);
        stack.scale(counts, &[]);
        stack.edge = stack.containers("edge").remove(0);
        stack.started = Instant::now();
        stack
    }

    /// Replaces the edge by one that remembers nothing.
    pub fn another_edge(&mut self) {
        self.compose(&["rm", "-s", "-f", "-v", "edge"]);
        self.compose(&["up", "-d", "--no-build", "--no-deps", "edge"]);
        self.edge = self.containers("edge").remove(0);
        self.started = Instant::now();
    }

    /// Runs docker-compose on this project; panics where it fails.
    pub fn compose(&self, arguments: &[&str]) -> Output {
        let output = self.try_compose(arguments);
        assert!(
            output.status.success(),
            "docker-compose {arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    fn try_compose(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("docker-compose");
        command.current_dir(root()).args(["-p", &project(), "-f"]).arg(self.folder.path().join("compose.json"));
        command.args(arguments).output().unwrap()
    }

    /// `docker-compose up -d` with these numbers of replicas and these further options.
    pub fn scale(&self, counts: &[(&str, usize)], more: &[&str]) {
        let counts: Vec<String> = counts.iter().map(|(service, count)| format!("{service}={count}")).collect();
        let mut arguments = vec!["up", "-d", "--no-build", "-t", "5"];
        counts.iter().for_each(|count| arguments.extend(["--scale", count]));
        arguments.extend(more);
        self.compose(&arguments);
    }

    /// The containers of a service.
    pub fn containers(&self, service: &str) -> Vec<String> {
        let listed = self.compose(&["ps", "-q", service]);
        String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect()
    }

    /// Where clients find the edge.
    pub fn front(&self) -> SocketAddr {
        address(&self.edge, 80).unwrap()
    }

    /// Whether so many backends of an upstream are up, and no other.
    pub fn is_up(&self, upstream: &str, count: usize) -> bool {
        let states = edge::states(&self.edge, upstream);
        states.len() == count && states.iter().all(|(_, state)| state == "up")
    }

    /// Waits until they are.
    pub async fn all_up(&self, upstream: &str, count: usize, limit: Duration) -> Duration {
        let waited = within(limit, || async { self.is_up(upstream, count) }).await;
        waited.unwrap_or_else(|| panic!("{upstream} after {limit:?}: {:?}", edge::states(&self.edge, upstream)))
    }

    /// Waits until the healer acts.
    pub async fn grace(&self) {
        tokio::time::sleep(GRACE.saturating_sub(self.started.elapsed())).await;
    }

    /// Whether a replica answers by itself.
    pub async fn is_well(to: SocketAddr, path: &str) -> bool {
        load::once(Method::GET, to, path, Duration::from_secs(1)).await.is_ok_and(|answer| answer.status < 400)
    }

    /// The first letters of a container's id, which its replies name.
    pub fn hostname(container: &str) -> String {
        docker(&["inspect", "-f", "{{.Config.Hostname}}", container])
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.try_compose(&["logs", "--no-color", "edge"]).stdout;
            println!("--- the edge's log\n{}", String::from_utf8_lossy(&log));
        }
        if std::env::var_os("KEEP_STACK").is_none() {
            self.try_compose(&["down", "-v", "--remove-orphans", "-t", "1"]);
        }
    }
}
