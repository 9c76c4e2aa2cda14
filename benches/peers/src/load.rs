//! The loads: which tool, how it is called, and what its output says.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::process::pinned;
use crate::settings::Settings;

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

/// What came of a load.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Outcome {
    /// Answers that were as they should be.
    pub requests: f64,
    /// Seconds it ran.
    pub seconds: f64,
    /// Broken connections, timeouts, and answers that are not 2xx.
    pub errors: u64,
}

/// Latencies at a fixed rate, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    /// Requests per second that were answered; less than asked where the proxy or the load could not.
    pub rate: f64,
    /// Half of the requests took less.
    pub p50: f64,
    /// 99 of 100 took less.
    pub p99: f64,
    /// 999 of 1000 took less.
    pub p999: f64,
    /// As in `Outcome`.
    pub errors: u64,
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
            Self::Wrk { .. } | Self::Close { .. } | Self::Upload { .. } => wrk_outcome(output),
            Self::Http2 { .. } => h2load_outcome(output),
            Self::Handshakes { .. } | Self::WebSocket { .. } | Self::Connections => own_outcome(output),
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

/// `oha`: as `load` does, but at a fixed rate, with latencies.
pub fn latency(load: Load, rate: u64, aim: &Aim, settings: &Settings) -> anyhow::Result<Latency> {
    let own = settings.tools.join("bin/oha");
    let program = if own.exists() { own } else { PathBuf::from("oha") };
    let mut command = pinned(aim.cores.as_deref(), &program);
    let (connections, more): (usize, &[&str]) = match load {
        Load::Wrk { connections } => (connections, &[]),
        Load::Close { connections } => (connections, &["--disable-keepalive"]),
        Load::Upload { connections } => (connections, &["-m", "POST"]),
        Load::Http2 { connections, .. } => (connections, &["--http2", "-p", "8"]),
        Load::Handshakes { .. } | Load::WebSocket { .. } | Load::Connections => {
            bail!("latencies of this load are not measured")
        }
    };
    command.args(["--no-tui", "--output-format", "json", "--insecure", "--latency-correction"]).args(more);
    if let Load::Upload { .. } = load {
        let body = settings.work.join("upload.body");
        std::fs::write(&body, vec![b'x'; 1 << 20])?;
        command.arg("-D").arg(body);
    }
    command.args(["-c", &connections.to_string(), "-q", &rate.to_string()]);
    command.args(["-z", &format!("{}s", settings.duration.as_secs())]).arg(aim.url());
    let output = command.stderr(Stdio::inherit()).output().context("oha")?;
    ensure!(output.status.success(), "oha failed: {}", String::from_utf8_lossy(&output.stdout).trim());
    oha_latency(&output.stdout)
}

fn oha_latency(output: &[u8]) -> anyhow::Result<Latency> {
    let json: serde_json::Value = serde_json::from_slice(output)?;
    let number = |pointer: &str| json.pointer(pointer).and_then(serde_json::Value::as_f64);
    let milliseconds = |name: &str| -> anyhow::Result<f64> {
        let seconds = number(&format!("/latencyPercentiles/{name}")).with_context(|| format!("oha gave no {name}"))?;
        Ok(seconds * 1000.0)
    };
    let sum = |pointer: &str, counts: fn(&str) -> bool| -> f64 {
        let map = json.pointer(pointer).and_then(serde_json::Value::as_object);
        map.into_iter().flatten().filter(|(key, _)| counts(key)).filter_map(|(_, value)| value.as_f64()).sum()
    };
    // Requests that the end of the run cuts off are nobody's failure.
    let broken = sum("/errorDistribution", |what| !what.contains("deadline"));
    let refused = sum("/statusCodeDistribution", |status| !status.starts_with('2'));
    Ok(Latency {
        rate: number("/summary/requestsPerSec").context("oha gave no rate")?,
        p50: milliseconds("p50")?,
        p99: milliseconds("p99")?,
        p999: milliseconds("p99.9")?,
        errors: (broken + refused) as u64,
    })
}

/// Reads `  352346 requests in 4.00s, 101.2MB read`, `Socket errors: connect 0, read 0, …` and `Non-2xx …: 12`.
fn wrk_outcome(output: &str) -> anyhow::Result<Outcome> {
    let line = output.lines().find(|line| line.contains(" requests in ")).context("wrk gave no count")?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let all: f64 = words.first().context("wrk gave no count")?.parse()?;
    let seconds = wrk_seconds(words.get(3).context("wrk gave no time")?.trim_end_matches(','))?;
    let refused = output.lines().find_map(|line| line.trim().strip_prefix("Non-2xx or 3xx responses: "));
    let refused: u64 = refused.map_or(Ok(0), str::parse)?;
    let broken = output.lines().find_map(|line| line.trim().strip_prefix("Socket errors: ")).unwrap_or_default();
    let broken: u64 = broken.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok()).sum();
    Ok(Outcome { requests: all - refused as f64, seconds, errors: refused + broken })
}

fn wrk_seconds(text: &str) -> anyhow::Result<f64> {
    let (number, factor) = if let Some(number) = text.strip_suffix("ms") {
        (number, 0.001)
    } else if let Some(number) = text.strip_suffix('m') {
        (number, 60.0)
    } else {
        (text.trim_end_matches('s'), 1.0)
    };
    Ok(number.parse::<f64>().with_context(|| format!("wrk's time `{text}`"))? * factor)
}

/// Reads `finished in 4.00s, …` and `requests: 9 total, 9 started, 9 done, 8 succeeded, 1 failed, 0 errored, 0 timeout`.
fn h2load_outcome(output: &str) -> anyhow::Result<Outcome> {
    let seconds = output.lines().find_map(|line| line.strip_prefix("finished in ")).context("h2load gave no time")?;
    let seconds = wrk_seconds(seconds.split(',').next().unwrap_or_default())?;
    let line = output.lines().find_map(|line| line.strip_prefix("requests: ")).context("h2load gave no count")?;
    let count = |name: &str| -> anyhow::Result<u64> {
        let part = line.split(", ").find_map(|part| part.strip_suffix(name)).context("h2load's count")?;
        Ok(part.trim().parse()?)
    };
    let errors = count("failed")? + count("timeout")?;
    Ok(Outcome { requests: count("succeeded")? as f64, seconds, errors })
}

/// Reads `requests=N errors=N seconds=N`.
fn own_outcome(output: &str) -> anyhow::Result<Outcome> {
    let value = |name: &str| {
        let pair = output.split_whitespace().find_map(|word| word.split_once('=').filter(|(key, _)| *key == name));
        pair.map(|(_, value)| value).with_context(|| format!("the load gave no {name}"))
    };
    Ok(Outcome {
        requests: value("requests")?.parse()?,
        seconds: value("seconds")?.parse()?,
        errors: value("errors")?.parse()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_wrk_is_read() {
        let clean = "Running 4s test\n  52 requests in 4.10s, 1.2MB read\nRequests/sec:  12.68\n";
        assert_eq!(wrk_outcome(clean).unwrap(), Outcome { requests: 52.0, seconds: 4.1, errors: 0 });
        let broken = "  52 requests in 1.50m, 1MB read\n  Socket errors: connect 1, read 2, write 0, timeout 3\n  \
                      Non-2xx or 3xx responses: 12\n";
        assert_eq!(wrk_outcome(broken).unwrap(), Outcome { requests: 40.0, seconds: 90.0, errors: 18 });
        assert!(wrk_outcome("unable to connect").is_err());
    }

    #[test]
    fn the_output_of_h2load_is_read() {
        let output = "finished in 4.00s, 2.25 req/s, 1KB/s\n\
                      requests: 12 total, 11 started, 10 done, 9 succeeded, 1 failed, 1 errored, 0 timeout\n";
        assert_eq!(h2load_outcome(output).unwrap(), Outcome { requests: 9.0, seconds: 4.0, errors: 1 });
    }

    #[test]
    fn the_output_of_oha_is_read() {
        let output = br#"{"summary": {"requestsPerSec": 99.5},
            "latencyPercentiles": {"p50": 0.001, "p99": 0.002, "p99.9": 0.003},
            "statusCodeDistribution": {"200": 90, "502": 4},
            "errorDistribution": {"aborted due to deadline": 7, "connection refused": 2}}"#;
        let latency = Latency { rate: 99.5, p50: 1.0, p99: 2.0, p999: 3.0, errors: 6 };
        assert_eq!(oha_latency(output).unwrap(), latency);
    }
}
