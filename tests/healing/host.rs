//! Processes in containers as the host sees them, so that no container needs tools of its own.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;

/// Runs the `docker` command and returns what it prints.
pub fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A container as far as a heal must not change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub id: String,
    pub started_at: String,
}

impl Identity {
    pub fn of(container: &str) -> Self {
        let shown = docker(&["inspect", "-f", "{{.Id}} {{.State.StartedAt}}", container]);
        let (id, started_at) = shown.split_once(' ').unwrap();
        Self { id: id.into(), started_at: started_at.into() }
    }
}

/// Its address; none while it does not run.
pub fn address(container: &str, port: u16) -> Option<SocketAddr> {
    let shown = docker(&["inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container]);
    Some(SocketAddr::new(shown.parse::<IpAddr>().ok()?, port))
}

/// A process of a container.
#[derive(Debug, Clone)]
pub struct Process {
    pub pid: u32,
    parent: u32,
    arguments: String,
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
        let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?.replace('\0', " ");
        Some(Self { pid, parent, arguments })
    }
}

/// Everything in a container, PID 1 first.
pub fn processes(container: &str) -> Vec<Process> {
    let first: u32 = docker(&["inspect", "-f", "{{.State.Pid}}", container]).parse().unwrap();
    let mut pids: Vec<u32> =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    let all: Vec<Process> = pids.into_iter().filter_map(Process::read).collect();
    let mut found: Vec<Process> = all.iter().filter(|one| one.pid == first && first != 0).cloned().collect();
    let mut at = 0;
    while let Some(above) = found.get(at).map(|one| one.pid) {
        found.extend(all.iter().filter(|one| one.parent == above).cloned());
        at += 1;
    }
    found
}

/// Those that have this in their arguments, inits and shells left out.
fn called(all: &[Process], name: &str) -> Vec<Process> {
    let is_wrapper = |one: &Process| {
        ["sh ", "tini ", "/usr/bin/python3 /usr/bin/supervisord"].iter().any(|start| one.arguments.starts_with(start))
    };
    all.iter().filter(|one| one.arguments.contains(name) && !is_wrapper(one)).cloned().collect()
}

/// The processes of this name that have no children.
pub fn leaves(container: &str, name: &str) -> Vec<u32> {
    let all = processes(container);
    let is_leaf = |one: &Process| !all.iter().any(|other| other.parent == one.pid);
    called(&all, name).into_iter().filter(is_leaf).map(|one| one.pid).collect()
}

/// The topmost process of this name.
pub fn head(container: &str, name: &str) -> Option<u32> {
    called(&processes(container), name).first().map(|one| one.pid)
}

/// Sends a signal by the host's `kill`.
pub fn kill(signal: &str, pids: &[u32]) {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    assert!(!pids.is_empty(), "nobody is there to be sent {signal}");
    let _some_may_be_gone = Command::new("kill").arg(format!("-{signal}")).args(&pids).status().unwrap();
}

/// Open files and threads of PID 1 of a container.
pub fn weight(container: &str) -> (usize, usize) {
    let pid = docker(&["inspect", "-f", "{{.State.Pid}}", container]);
    let count = |folder: &str| fs::read_dir(format!("/proc/{pid}/{folder}")).map_or(0, Iterator::count);
    (count("fd"), count("task"))
}
