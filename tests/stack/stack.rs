//! The stack under a project name and a port of its own, with a copy of the shipped configuration that tests may edit.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::compose::{docker, root};
pub use crate::compose::{eventually, text};
use crate::load::get;

/// The port of the host that leads to the edge: `STACK_PORT`, or one that hardly anybody else takes.
pub fn port() -> String {
    std::env::var("STACK_PORT").unwrap_or_else(|_| "18480".to_owned())
}

/// Where clients find the edge.
pub fn front() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port().parse().unwrap()))
}

/// Which of the two manager stacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// compose.yml: the edge has the Docker socket.
    Whole,
    /// compose.split.yml: its sidecar has.
    Split,
}

impl Kind {
    fn project(self) -> &'static str {
        match self {
            Self::Whole => "remora-e2e",
            Self::Split => "remora-e2e-split",
        }
    }

    fn compose_file(self) -> &'static str {
        match self {
            Self::Whole => "deploy/manager/compose.yml",
            Self::Split => "deploy/manager/compose.split.yml",
        }
    }

    fn conf(self) -> &'static str {
        match self {
            Self::Whole => "conf/remora.yaml",
            Self::Split => "deploy/manager/split/remora.yaml",
        }
    }

    /// The services that are Remora.
    fn own(self) -> &'static [&'static str] {
        match self {
            Self::Whole => &["manager"],
            Self::Split => &["manager", "sidecar"],
        }
    }
}

/// The most requests a second that the loads send.
const MOST: u32 = 200;

/// A running stack; taken down when dropped.
pub struct Stack {
    pub kind: Kind,
    /// Requests a second of the scenarios' loads: a quarter of what was answered at the start, so that what a scenario does
    /// to the machine beside the load leaves room to answer it; [`MOST`] at most.
    pub rate: u32,
    folder: tempfile::TempDir,
}

/// How many requests to the database's notes eight clients get answered in a second.
async fn answered_per_second() -> u32 {
    const SPAN: Duration = Duration::from_secs(2);
    let start = Instant::now();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn(async move {
                let mut count = 0;
                while start.elapsed() < SPAN {
                    count += u32::from(get(front(), "/api/notes/").await.is_ok_and(|answer| answer.status == 200));
                }
                count
            })
        })
        .collect();
    let mut answered = 0;
    for client in clients {
        answered += client.await.unwrap();
    }
    answered / u32::try_from(SPAN.as_secs()).unwrap()
}

/// A container as far as a heal must not change it.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Identity {
    pub id: String,
    pub started_at: String,
}

impl Stack {
    /// `docker-compose up -d --scale backend=N --scale frontend=M`, and waits until everything answers through the edge.
    pub async fn up(kind: Kind, backends: usize, frontends: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let conf = folder.path().join("conf");
        std::fs::create_dir(&conf).unwrap();
        std::fs::copy(root().join(kind.conf()), conf.join("remora.yaml")).unwrap();
        let mut test = "services:\n".to_owned();
        for service in kind.own() {
            test.push_str(&format!("  {service}: {{ volumes: [\"{}:/etc/remora:ro\"] }}\n", conf.display()));
        }
        std::fs::write(folder.path().join("test.yml"), test).unwrap();
        let mut stack = Self { kind, folder, rate: 0 };
        stack.compose(&["down", "-v", "--remove-orphans", "-t", "5"]);
        let start = Instant::now();
        stack.scale(&[("backend", backends), ("frontend", frontends)]);
        for path in ["/health", "/api/health", "/api/notes/"] {
            eventually(path, || async { get(front(), path).await.is_ok_and(|answer| answer.status == 200) }).await;
        }
        eventually("every replica is up", || async {
            stack.states("backend").await == vec!["up"; backends]
                && stack.states("frontend").await == vec!["up"; frontends]
        })
        .await;
        println!("up: everything answers {:.1} s after `docker-compose up -d`", start.elapsed().as_secs_f64());
        let answered = answered_per_second().await;
        stack.rate = (answered / 4).clamp(1, MOST);
        println!("rate: {answered} requests/s are answered, {} are sent", stack.rate);
        stack
    }

    /// Runs docker-compose on this stack; panics where it fails.
    pub fn compose(&self, arguments: &[&str]) -> Output {
        let output = Command::new("docker-compose")
            .args(["-p", self.kind.project(), "-f"])
            .arg(root().join(self.kind.compose_file()))
            .arg("-f")
            .arg(self.folder.path().join("test.yml"))
            .args(arguments)
            .env("REMORA_PORT", port())
            .env("SAMPLE_FAULTS", "1")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "docker-compose {arguments:?}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        output
    }

    /// `docker-compose up -d` with these numbers of replicas.
    pub fn scale(&self, counts: &[(&str, usize)]) {
        let counts: Vec<String> = counts.iter().map(|(service, count)| format!("{service}={count}")).collect();
        let mut arguments = vec!["up", "-d", "--no-build", "--no-recreate"];
        for count in &counts {
            arguments.extend(["--scale", count]);
        }
        self.compose(&arguments);
    }

    pub fn conf(&self) -> PathBuf {
        self.folder.path().join("conf/remora.yaml")
    }

    /// Writes the configuration as an editor does: beside it, then renamed over it.
    pub fn edit(&self, text: &str) {
        let beside = self.conf().with_extension("swp");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(beside, self.conf()).unwrap();
    }

    /// Waits until commands by hand may follow a heal: the sidecar keeps its `cooldown` whoever asks.
    pub async fn cool_down(&self) {
        if self.kind == Kind::Split {
            tokio::time::sleep(Duration::from_secs(31)).await;
        }
    }

    /// The containers of a service.
    pub fn containers(&self, service: &str) -> Vec<String> {
        text(&self.compose(&["ps", "-q", service]).stdout).lines().map(str::to_owned).collect()
    }

    pub fn docker(arguments: &[&str]) -> String {
        docker(arguments)
    }

    pub fn identity(container: &str) -> Identity {
        let shown = Self::docker(&["inspect", "--format", "{{.Id}} {{.State.StartedAt}}", container]);
        let (id, started_at) = shown.split_once(' ').unwrap();
        Identity { id: id.into(), started_at: started_at.into() }
    }

    /// What `remora status --json` tells inside the manager.
    pub async fn status(&self) -> Value {
        // By `docker`: `docker-compose` takes half a second of processor time from the load.
        let label = |name, value| format!("label=com.docker.compose.{name}={value}");
        let (project, service) = (label("project", self.kind.project()), label("service", "manager"));
        let manager = docker(&["ps", "-q", "--filter", &project, "--filter", &service]);
        serde_json::from_str(&docker(&["exec", &manager, "remora", "status", "--json"])).unwrap()
    }

    /// The states of an upstream's backends, those that are leaving left out.
    pub async fn states(&self, upstream: &str) -> Vec<String> {
        let status = self.status().await;
        let found = status["upstreams"].as_array().unwrap().iter().find(|entry| entry["name"] == upstream).unwrap();
        let states = found["backends"].as_array().unwrap().iter().map(|backend| backend["state"].as_str().unwrap());
        states.filter(|state| *state != "draining").map(str::to_owned).collect()
    }

    /// Heals of an upstream that ended well.
    pub async fn healed(&self, upstream: &str) -> Vec<Value> {
        let status = self.status().await;
        let heals = status["heals"].as_array().unwrap();
        heals.iter().filter(|heal| heal["upstream"] == upstream && heal["result"] == "healed").cloned().collect()
    }

    pub fn manager_log(&self) -> String {
        self.log("manager")
    }

    pub fn log(&self, service: &str) -> String {
        text(&self.compose(&["logs", "--no-color", service]).stdout)
    }

    /// What a command prints in a service's container, whether it fails or not, and its own user's or root's.
    pub fn exec(&self, service: &str, words: &[&str]) -> String {
        let container = self.containers(service).remove(0);
        let output = Command::new("docker").args(["exec", &container]).args(words).output().unwrap();
        text(&output.stdout) + &text(&output.stderr)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for service in self.kind.own() {
                let log = self.log(service);
                let told: Vec<_> = log.lines().filter(|line| !line.contains("] \"")).collect();
                println!("--- the {service}'s log, without access\n{}", told.join("\n"));
            }
        }
        if std::env::var_os("KEEP_STACK").is_none() {
            self.compose(&["down", "-v", "--remove-orphans", "-t", "5"]);
        }
    }
}
