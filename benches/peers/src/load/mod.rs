//! The loads: which tool, how it is called, and what its output says.

mod latency;
mod outcome;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};

use anyhow::{Context, ensure};

use crate::process::pinned;
use crate::settings::Settings;

pub use latency::latency;
pub use outcome::Outcome;

/// How requests are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// `wrk`, as fast as answers come, on connections that stay open.
    Wrk { connections: usize },
    /// `wrk` with `Connection: close`: each request on a connection of its own.
    Close { connections: usize },
    /// `wrk` sending 1 MiB with each request.
    Upload { connections: usize },
    /// `h2load`: connections, and streams on each.
    Http2 { connections: usize, streams: usize },
    /// Our own: TLS handshakes without resumption, a request on each.
    Handshakes { connections: usize },
    /// Our own: echoed messages.
    WebSocket { connections: usize },
    /// Our own: as many connections as the case says, 64 requests at a time over all of them.
    Connections,
}

/// Where a load goes.
#[derive(Debug, Clone)]
pub struct Aim {
    /// Port of the proxy on this machine.
    pub port: u16,
    /// Over TLS.
    pub tls: bool,
    /// Such as `/api/200b`.
    pub path: String,
    /// Connections of `Load::Connections`.
    pub connections: usize,
    /// Cores for the load; any where there are none given.
    pub cores: Option<String>,
}

impl Aim {
    fn url(&self) -> String {
        // A name where there is TLS, for its certificate; IPv4 where not, so that nobody asks for a name.
        let (scheme, host) = if self.tls { ("https", "localhost") } else { ("http", "127.0.0.1") };
        format!("{scheme}://{host}:{}{}", self.port, self.path)
    }
}

impl Load {
    /// The command of a run of `Settings::duration`.
    pub fn command(self, aim: &Aim, settings: &Settings) -> anyhow::Result<Command> {
        let seconds = settings.duration.as_secs();
        let own = |kind: &str, count: usize| -> anyhow::Result<Command> {
            let mut command = pinned(aim.cores.as_deref(), &std::env::current_exe()?);
            command.args(["load", kind, &aim.port.to_string(), &seconds.to_string(), &count.to_string()]);
            Ok(command)
        };
        let wrk = |connections: usize| {
            let mut command = pinned(aim.cores.as_deref(), Path::new("wrk"));
            let threads = if aim.cores.is_some() { 1 } else { connections.min(2) };
            command.args(["-t", &threads.to_string(), "-c", &connections.to_string(), "-d", &format!("{seconds}s")]);
            command.args(["--timeout", "10s"]).arg(aim.url());
            command
        };
        Ok(match self {
            Self::Wrk { connections } => wrk(connections),
            Self::Close { connections } => {
                let mut command = wrk(connections);
                command.args(["-H", "Connection: close"]);
                command
            }
            Self::Upload { connections } => {
                let script = settings.work.join("upload.lua");
                std::fs::write(&script, "wrk.method = 'POST'\nwrk.body = string.rep('x', 1048576)\n")?;
                let mut command = wrk(connections);
                command.arg("-s").arg(script);
                command
            }
            Self::Http2 { connections, streams } => {
                let mut command = pinned(aim.cores.as_deref(), Path::new("h2load"));
                command.args(["-t", "1", "-c", &connections.to_string(), "-m", &streams.to_string()]);
                command.args(["-D", &seconds.to_string()]).arg(aim.url());
                command
            }
            Self::Handshakes { connections } => own("handshakes", connections)?,
            Self::WebSocket { connections } => own("websocket", connections)?,
            Self::Connections => own("connections", aim.connections)?,
        })
    }

    /// What a finished run printed.
    pub fn outcome(self, output: &str) -> anyhow::Result<Outcome> {
        match self {
            Self::Wrk { .. } | Self::Close { .. } | Self::Upload { .. } => outcome::of_wrk(output),
            Self::Http2 { .. } => outcome::of_h2load(output),
            Self::Handshakes { .. } | Self::WebSocket { .. } | Self::Connections => outcome::of_own(output),
        }
    }
}

/// A load that is under way.
pub struct Started {
    load: Load,
    child: std::process::Child,
    stdin: Option<ChildStdin>,
    output: BufReader<std::process::ChildStdout>,
}

impl Started {
    /// Starts a load. One that opens connections first returns once it has them, and waits for `finish`.
    pub fn start(load: Load, aim: &Aim, settings: &Settings) -> anyhow::Result<Self> {
        let mut command = load.command(aim, settings)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        let mut started = Self { load, stdin: child.stdin.take(), child, output };
        if load == Load::Connections {
            let mut line = String::new();
            started.output.read_line(&mut line)?;
            ensure!(line.trim() == "ready", "the connections could not be opened");
        }
        Ok(started)
    }

    /// Lets a load that waits begin, and returns what came of it. The connections of such a load stay until it is dropped.
    pub fn outcome(&mut self) -> anyhow::Result<Outcome> {
        let mut output = String::new();
        if self.load == Load::Connections {
            self.stdin.as_mut().context("no input")?.write_all(b"go\n")?;
            self.output.read_line(&mut output)?;
        } else {
            self.output.read_to_string(&mut output)?;
            ensure!(self.child.wait()?.success(), "the load failed: {}", output.trim());
        }
        self.load.outcome(&output)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}
