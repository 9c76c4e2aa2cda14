//! `remora heal UPSTREAM [BACKEND]`, `remora heal pause|resume [UPSTREAM]`

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use crate::telemetry::one_line;
use crate::types::parse_duration;

use super::client::{self, Admin, query};
use super::exit::Exit;
use super::terminal;

/// Ladders on many backends, one after another.
const WITHIN: Duration = Duration::from_secs(29 * 60);

/// Heal backends now, or pause healing.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  remora heal backend                    # its failing backends
  remora heal backend 172.18.0.3:8000    # this one, failing or not
  remora heal pause backend --for 1h
  remora heal resume"
)]
pub(super) struct HealArguments {
    #[command(subcommand)]
    pause: Option<Pause>,
    /// Upstream to heal
    #[arg(required = true)]
    upstream: Option<String>,
    /// One of its backends, failing or not, such as 172.18.0.3:8000 [default: all that fail]
    backend: Option<SocketAddr>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, clap::Subcommand)]
enum Pause {
    /// Pause healing; checks and ejections continue.
    #[command(after_help = "Examples:\n  remora heal pause --for 30m\n  remora heal pause backend")]
    Pause {
        /// Upstream [default: all]
        upstream: Option<String>,
        /// Duration, such as 10m or 2h
        #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = span)]
        span: String,
        #[command(flatten)]
        admin: Admin,
    },
    /// Resume healing.
    #[command(after_help = "Examples:\n  remora heal resume\n  remora heal resume backend")]
    Resume {
        /// Upstream [default: all]
        upstream: Option<String>,
        #[command(flatten)]
        admin: Admin,
    },
}

fn span(text: &str) -> Result<String, String> {
    parse_duration(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

pub(super) fn run(arguments: &HealArguments) -> anyhow::Result<Exit> {
    match &arguments.pause {
        Some(Pause::Pause { upstream, span, admin }) => {
            let path = query("/pause", &[("upstream", upstream.as_deref()), ("for", Some(span))]);
            let of = upstream.as_deref().unwrap_or("all upstreams");
            set_pause(admin, &path, &format!("healing of {of} is paused for {span}; `remora heal resume` ends it"))
        }
        Some(Pause::Resume { upstream, admin }) => {
            let path = query("/resume", &[("upstream", upstream.as_deref())]);
            let of = upstream.as_deref().unwrap_or("all upstreams");
            set_pause(admin, &path, &format!("healing of {of} resumed"))
        }
        None => {
            let backend = arguments.backend.map(|address| address.to_string());
            let pairs = [("upstream", arguments.upstream.as_deref()), ("backend", backend.as_deref())];
            work(&arguments.admin, &query("/heal", &pairs), arguments.json)
        }
    }
}

fn set_pause(admin: &Admin, path: &str, done: &str) -> anyhow::Result<Exit> {
    let answer = client::ask(admin.address()?, "POST", path, WITHIN)?;
    if answer.status != 200 {
        anyhow::bail!("{}", client::error(&answer.body));
    }
    terminal::say(done)?;
    Ok(Exit::Done)
}

/// Has ladders run and shows what came of them.
pub(super) fn work(admin: &Admin, path: &str, json: bool) -> anyhow::Result<Exit> {
    let answer = client::ask(admin.address()?, "POST", path, WITHIN)?;
    if answer.status != 200 {
        anyhow::bail!("{}", client::error(&answer.body));
    }
    let work: Value = serde_json::from_str(&answer.body).context("cannot parse the edge's response")?;
    let text = if json { answer.body } else { render(&work) };
    terminal::say(text.trim_end())?;
    Ok(if work["stopped"].is_null() { Exit::Done } else { Exit::Failed })
}

/// A line a ladder, and why it ended early.
fn render(work: &Value) -> String {
    let mut text = String::new();
    for heal in work["heals"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "{}", line(heal));
    }
    if let Some(why) = work["stopped"].as_str() {
        let _ = writeln!(text, "stopped: {}", one_line(why));
    }
    text
}

/// One ladder: `172.18.0.3:8000 (backend-1): gunicorn reload: helped; healed in 0.42s`.
pub(super) fn line(heal: &Value) -> String {
    let word = |value: &Value| one_line(value.as_str().unwrap_or("-"));
    let steps = heal["steps"].as_array().map_or_else(Vec::new, |steps| {
        steps.iter().map(|step| format!("{}: {}", word(&step["step"]), word(&step["result"]))).collect()
    });
    let seconds = Duration::from_millis(heal["took_ms"].as_u64().unwrap_or_default()).as_secs_f64();
    let in_flight = heal["in_flight_after_drain"].as_u64().unwrap_or_default();
    let cut = if in_flight == 0 {
        String::new()
    } else {
        format!(", {in_flight} requests still in flight when the step ran")
    };
    format!(
        "{} ({}): {}; {} in {seconds:.2}s{cut}",
        word(&heal["backend"]),
        word(&heal["container"]),
        steps.join(", "),
        word(&heal["result"])
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_shown_a_line_a_backend() {
        let work = serde_json::json!({
            "heals": [
                { "backend": "10.0.0.1:80", "container": "api-1", "result": "healed", "took_ms": 420, "in_flight_after_drain": 0,
                  "steps": [{ "step": "gunicorn reload", "result": "helped" }] },
                { "backend": "10.0.0.2:80", "container": "api-2\u{1b}[2J", "result": "failed", "took_ms": 9000, "in_flight_after_drain": 2,
                  "steps": [{ "step": "gunicorn reload", "result": "no_match" }] }
            ],
            "stopped": "10.0.0.2:80: the step did not work"
        });
        let text = render(&work);
        assert!(text.starts_with("10.0.0.1:80 (api-1): gunicorn reload: helped; healed in 0.42s\n"), "{text}");
        assert!(text.contains("failed in 9.00s, 2 requests still in flight"), "{text}");
        assert!(text.ends_with("stopped: 10.0.0.2:80: the step did not work\n") && !text.contains('\u{1b}'), "{text}");
    }
}
