//! `remora drill UPSTREAM`

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use crate::telemetry::one_line;

use super::client::{self, Admin, query};
use super::exit::Exit;
use super::heal::line;
use super::terminal;

/// A drill waits as long as the check and the heal may take.
const WITHIN: Duration = Duration::from_secs(29 * 60);

/// Simulate a failing backend, and show how it is detected and healed.
///
/// Only its probes fail, not its process, until a step of its `heal` has run for real. Other backends must be up.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  remora drill backend")]
pub(super) struct DrillArguments {
    /// Upstream to drill
    upstream: String,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: Admin,
}

pub(super) fn run(arguments: &DrillArguments) -> anyhow::Result<Exit> {
    let path = query("/drill", &[("upstream", Some(&arguments.upstream))]);
    let answer = client::ask(arguments.admin.address()?, "POST", &path, WITHIN)?;
    if answer.status != 200 {
        anyhow::bail!("{}", client::error(&answer.body));
    }
    let seen: Value = serde_json::from_str(&answer.body).context("cannot parse the edge's response")?;
    let text = if arguments.json { answer.body } else { render(&seen) };
    terminal::say(text.trim_end())?;
    Ok(if seen["problem"].is_null() { Exit::Done } else { Exit::Failed })
}

fn render(seen: &Value) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "simulated a failing check on {}", one_line(seen["backend"].as_str().unwrap_or("-")));
    #[rustfmt::skip]
    let times = [
        ("detected",        "detected_ms"),
        ("out of rotation", "out_ms"),
        ("first step done", "drained_ms"),
        ("check passes",    "healed_ms"),
        ("back",            "back_ms"),
    ];
    for (what, key) in times {
        let after = seen[key].as_u64().map_or_else(|| "-".to_owned(), |ms| format!("{:.2}s", ms as f64 / 1000.0));
        let _ = writeln!(text, "  {what:<16} {after:>8}");
    }
    if !seen["heal"].is_null() {
        let _ = writeln!(text, "  {}", line(&seen["heal"]));
    }
    let count = |key: &str| seen[key].as_u64().unwrap_or_default();
    let _ = writeln!(
        text,
        "requests to the upstream during the drill: {}, failed: {}, queued: {}",
        count("requests"),
        count("failed"),
        count("held")
    );
    if let Some(problem) = seen["problem"].as_str() {
        let _ = writeln!(text, "problem: {}", one_line(problem));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_in_order_and_what_is_missing_is_a_dash() {
        let seen = serde_json::json!({
            "backend": "10.0.0.1:80", "out_ms": 4100, "detected_ms": 4100, "drained_ms": null, "healed_ms": null, "back_ms": null,
            "requests": 900, "failed": 0, "held": 0, "heal": null, "problem": "it was not healed: healing is paused for 9 s more"
        });
        let text = render(&seen);
        assert!(text.contains("  detected            4.10s\n"), "{text}");
        assert!(text.contains("  back                    -\n"), "{text}");
        assert!(text.ends_with(
            "during the drill: 900, failed: 0, queued: 0\nproblem: it was not healed: healing is paused for 9 s more\n"
        ));
    }
}
