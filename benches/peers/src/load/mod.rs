//! The loads: which tool, how it is called, and what its output says.

mod latency;
mod outcome;
mod request;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};

use anyhow::{Context, ensure};

use crate::process::pinned;
use crate::settings::Settings;

pub use latency::{latency, oha};
pub use outcome::Outcome;

use request::{UPLOAD_SCRIPT, browser_script, post_script};

/// How requests are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// `wrk`, as fast as answers come, on connections that stay open.
    Wrk { connections: usize },
    /// `wrk` with `Connection: close`: each request on a connection of its own.
    Close { connections: usize },
    /// `wrk` with the head that a browser sends.
    Browser { connections: usize },
    /// `wrk` sending 200 bytes of JSON with each request.
    Post { connections: usize },
    /// Our own: small POSTs on half of the connections and GETs on the other half, counted second by second.
    Posts { connections: usize },
    /// `wrk` sending 1 MiB with each request.
    Upload { connections: usize },
    /// `h2load`: connections, and streams on each.
    Http2 { connections: usize, streams: usize },
    /// Our own: TLS handshakes without resumption, a request on each.
    Handshakes { connections: usize },
    /// Our own: echoed messages.
    WebSocket { connections: usize },
    /// Our own: clients of an endless answer, whose events are counted and timed.
    Events { clients: usize },
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
    /// Client connections, where the load says it.
    pub fn connections(self) -> usize {
        match self {
            Self::Wrk { connections }
            | Self::Close { connections }
            | Self::Browser { connections }
            | Self::Post { connections }
            | Self::Upload { connections }
            | Self::Http2 { connections, .. }
            | Self::Handshakes { connections }
            | Self::WebSocket { connections } => connections,
            Self::Posts { connections } => connections * 2,
            Self::Events { clients } => clients,
            Self::Connections => 0,
        }
    }

    /// Clients speak HTTP/2.
    pub fn is_http2(self) -> bool {
        matches!(self, Self::Http2 { .. })
    }

    /// It opens all its connections, and waits for a word before anything counts.
    pub fn opens_first(self) -> bool {
        matches!(self, Self::Connections | Self::Events { .. })
    }

    /// What runs before anything counts. POSTs would use up ports that are counted later.
    pub fn warm_up(self) -> Self {
        match self {
            Self::Posts { connections } => Self::Wrk { connections },
            other => other,
        }
    }

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
        let scripted = |connections: usize, name: &str, script: String| -> anyhow::Result<Command> {
            let path = settings.work.join(format!("{name}.lua"));
            std::fs::write(&path, script)?;
            let mut command = wrk(connections);
            command.arg("-s").arg(path);
            Ok(command)
        };
        Ok(match self {
            Self::Wrk { connections } => wrk(connections),
            Self::Close { connections } => {
                let mut command = wrk(connections);
                command.args(["-H", "Connection: close"]);
                command
            }
            Self::Browser { connections } => scripted(connections, "browser", browser_script())?,
            Self::Post { connections } => scripted(connections, "post", post_script())?,
            Self::Upload { connections } => scripted(connections, "upload", UPLOAD_SCRIPT.to_owned())?,
            Self::Http2 { connections, streams } => {
                let mut command = pinned(aim.cores.as_deref(), Path::new("h2load"));
                command.args(["-t", "1", "-c", &connections.to_string(), "-m", &streams.to_string()]);
                command.args(["-D", &seconds.to_string()]).arg(aim.url());
                command
            }
            Self::Handshakes { connections } => own("handshakes", connections)?,
            Self::WebSocket { connections } => own("websocket", connections)?,
            Self::Posts { connections } => own("posts", connections)?,
            Self::Events { clients } => own("events", clients)?,
            Self::Connections => own("connections", aim.connections)?,
        })
    }

    /// What a finished run printed.
    pub fn outcome(self, output: &str) -> anyhow::Result<Outcome> {
        match self {
            Self::Wrk { .. } | Self::Close { .. } | Self::Browser { .. } | Self::Post { .. } | Self::Upload { .. } => {
                outcome::of_wrk(output)
            }
            Self::Http2 { .. } => outcome::of_h2load(output),
            Self::Handshakes { .. }
            | Self::WebSocket { .. }
            | Self::Posts { .. }
            | Self::Events { .. }
            | Self::Connections => outcome::of_own(output),
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
        if load.opens_first() {
            let mut line = String::new();
            started.output.read_line(&mut line)?;
            ensure!(line.trim() == "ready", "the connections could not be opened");
        }
        Ok(started)
    }

    /// Lets a load that waits begin, and returns what came of it. The connections of such a load stay until it is dropped.
    pub fn outcome(&mut self) -> anyhow::Result<Outcome> {
        let mut output = String::new();
        if self.load.opens_first() {
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
