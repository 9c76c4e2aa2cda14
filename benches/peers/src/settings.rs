//! What the environment says about a run.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

/// Knobs of a run; all have defaults.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `ONLY=200b,upload`: the scenarios to run; empty is all.
    pub only: Vec<String>,
    /// `PEERS=nginx,haproxy-plain`: who runs beside Remora; empty is all.
    pub peers: Vec<String>,
    /// `ROUNDS`: rounds of each scenario. Default 5.
    pub rounds: usize,
    /// `DURATION`: whole seconds of one measurement. Default 4.
    pub duration: Duration,
    /// `POST_SECONDS`: whole seconds of one measurement of `post-minute`, at least 20. Default 60.
    pub post_duration: Duration,
    /// `PROXY_CORES`: where the proxy runs alone, as `taskset -c` wants it. Default 1.
    pub proxy_cores: String,
    /// `LOAD_CORES`: where load and origin run. Default 0.
    pub load_cores: String,
    /// `REMORA`, `NGINX`, `HAPROXY`: executables. Default: this repository's release build, and those on the path.
    pub remora: PathBuf,
    /// See `remora`.
    pub nginx: PathBuf,
    /// See `remora`.
    pub haproxy: PathBuf,
    /// The repository; `RESULTS.md` and the charts go to its `benches/`.
    pub root: PathBuf,
    /// Where tools were installed (`benches/tools`).
    pub tools: PathBuf,
    /// Where configurations and logs go; emptied at each scenario.
    pub work: PathBuf,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// When a number is none.
    pub fn from_env() -> anyhow::Result<Self> {
        let root = match env::var_os("REMORA_ROOT") {
            Some(root) => PathBuf::from(root),
            None => env::current_dir()?,
        };
        let tools = root.join("target/bench");
        Ok(Self {
            only: list("ONLY"),
            peers: list("PEERS"),
            rounds: number("ROUNDS", 5)?.max(1),
            duration: Duration::from_secs(number("DURATION", 4)?.max(1) as u64),
            post_duration: Duration::from_secs(number("POST_SECONDS", 60)?.max(20) as u64),
            proxy_cores: text("PROXY_CORES", "1"),
            load_cores: text("LOAD_CORES", "0"),
            remora: env::var_os("REMORA").map_or_else(|| root.join("target/release/remora"), PathBuf::from),
            nginx: text("NGINX", "nginx").into(),
            haproxy: text("HAPROXY", "haproxy").into(),
            work: tools.join("work"),
            root,
            tools,
        })
    }
}

fn text(name: &str, default: &str) -> String {
    env::var(name).ok().filter(|value| !value.is_empty()).unwrap_or_else(|| default.to_owned())
}

fn list(name: &str) -> Vec<String> {
    let text = text(name, "");
    text.split([',', ' ']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn number(name: &str, default: usize) -> anyhow::Result<usize> {
    match env::var(name).ok().filter(|value| !value.is_empty()) {
        None => Ok(default),
        Some(value) => value.parse().with_context(|| format!("{name}={value} is not a number")),
    }
}
