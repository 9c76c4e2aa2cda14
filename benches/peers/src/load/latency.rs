//! Latencies at a fixed rate, by `oha`.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, bail, ensure};

use super::request::{BROWSER_FIELDS, post_body};
use super::{Aim, Load};
use crate::process::pinned;
use crate::settings::Settings;

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

/// The `oha` that was built for the suite, else the one on the path.
pub fn oha(settings: &Settings) -> PathBuf {
    let own = settings.tools.join("bin/oha");
    if own.exists() { own } else { PathBuf::from("oha") }
}

/// `oha`: as `load` does, but at a fixed rate, with latencies.
pub fn latency(load: Load, rate: u64, aim: &Aim, settings: &Settings) -> anyhow::Result<Latency> {
    let mut command = pinned(aim.cores.as_deref(), &oha(settings));
    command.args(["--no-tui", "--output-format", "json", "--insecure", "--latency-correction"]);
    match load {
        Load::Wrk { .. } => {}
        Load::Close { .. } => {
            command.arg("--disable-keepalive");
        }
        Load::Browser { .. } => {
            // It keeps connections anyway, and says so itself.
            let fields = BROWSER_FIELDS.iter().filter(|(name, _)| *name != "Connection");
            command.args(fields.flat_map(|(name, value)| ["-H".to_owned(), format!("{name}: {value}")]));
        }
        Load::Post { .. } => {
            command.args(["-m", "POST", "-T", "application/json", "-d", &post_body()]);
        }
        Load::Upload { .. } => {
            let body = settings.work.join("upload.body");
            std::fs::write(&body, vec![b'x'; 1 << 20])?;
            command.args(["-m", "POST", "-D"]).arg(body);
        }
        Load::Http2 { streams, .. } => {
            command.args(["--http2", "-p", &streams.to_string()]);
        }
        Load::Handshakes { .. }
        | Load::WebSocket { .. }
        | Load::Posts { .. }
        | Load::Events { .. }
        | Load::Connections => bail!("latencies of this load are not measured"),
    }
    command.args(["-c", &load.connections().to_string(), "-q", &rate.to_string()]);
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

#[cfg(test)]
mod tests {
    use super::*;

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
