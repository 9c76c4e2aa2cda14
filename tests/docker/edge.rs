//! The real executable on the host, in front of containers.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bench::{eventually, get};

/// The healer's grace after its start, and a little.
const GRACE: Duration = Duration::from_millis(10_500);

/// A running edge. On a failed test its log is printed.
pub struct Edge {
    child: Child,
    folder: tempfile::TempDir,
    started: Instant,
    pub front: SocketAddr,
    admin: SocketAddr,
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Edge {
    /// Starts one with these settings and routes; `project` is all it may touch.
    pub fn start(project: &str, site: &str) -> Self {
        let (front, admin) = (free(), free());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("remora.yaml");
        std::fs::write(&file, format!("listen: \"{front}\"\nadmin: \"{admin}\"\nlog: {{ access: off }}\n{site}"))
            .unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_remora"))
            .arg("run")
            .arg(&file)
            .env("COMPOSE_PROJECT_NAME", project)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let edge = Self { child, folder, started: Instant::now(), front, admin };
        eventually("the edge listens", || get(admin, "/status", Duration::from_secs(1)).is_ok());
        edge
    }

    /// Its configuration.
    pub fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("remora.yaml")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// How often the log says so.
    pub fn says(&self, words: &str) -> usize {
        self.log().matches(words).count()
    }

    /// Waits until the healer acts.
    pub fn grace(&self) {
        std::thread::sleep(GRACE.saturating_sub(self.started.elapsed()));
    }

    pub fn status(&self) -> Value {
        let (_, body) = get(self.admin, "/status", Duration::from_secs(2)).unwrap();
        serde_json::from_str(&body).unwrap()
    }

    /// The states of an upstream's backends.
    pub fn states(&self, upstream: &str) -> Vec<String> {
        let status = self.status();
        let found = status["upstreams"].as_array().unwrap().iter().find(|one| one["name"] == upstream).unwrap();
        let backends = found["backends"].as_array().unwrap();
        backends.iter().map(|backend| backend["state"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The state of an upstream's first backend.
    pub fn state(&self, upstream: &str) -> String {
        self.states(upstream).into_iter().next().unwrap_or_default()
    }

    /// The latest ladder of an upstream, and how many there were.
    pub fn ladder(&self, upstream: &str) -> (Value, usize) {
        let status = self.status();
        let heals = status["heals"].as_array().unwrap();
        let of: Vec<&Value> = heals.iter().filter(|heal| heal["upstream"] == upstream).collect();
        let latest = of.iter().max_by_key(|heal| heal["id"].as_u64()).map_or(Value::Null, |heal| (*heal).clone());
        (latest, of.len())
    }

    /// Waits for the end of the latest ladder of an upstream.
    pub fn ended(&self, upstream: &str) -> Value {
        let mut ladder = Value::Null;
        eventually(&format!("a ladder of {upstream} ends"), || {
            ladder = self.ladder(upstream).0;
            !ladder.is_null() && ladder["result"] != "running"
        });
        ladder
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the edge's log\n{}", self.log());
        }
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
