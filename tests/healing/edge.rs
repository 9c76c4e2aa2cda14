//! What the edge says of itself: its log, line by line with Docker's times, and its status.

use std::net::SocketAddr;
use std::process::Command;

use chrono::{DateTime, Utc};
use serde_json::Value;

/// One line of the edge's log.
#[derive(Debug, Clone)]
pub struct Line {
    pub at: DateTime<Utc>,
    pub text: String,
}

/// What the log tells about one backend after a fault, in seconds since then.
#[derive(Debug, Default)]
pub struct Told {
    /// The first word that something is wrong with it.
    pub out: Option<f64>,
    pub heal_starts: Option<f64>,
    pub healed: Option<f64>,
    pub up: Option<f64>,
    /// What was done.
    pub steps: Vec<String>,
}

/// The log since a moment.
pub fn log(container: &str, since: DateTime<Utc>) -> Vec<Line> {
    let output = Command::new("docker").args(["logs", "-t", container]).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let mut lines: Vec<Line> = text.lines().filter_map(line).filter(|line| since <= line.at).collect();
    lines.sort_by_key(|line| line.at);
    lines
}

fn line(text: &str) -> Option<Line> {
    let (at, text) = text.split_once(' ')?;
    Some(Line { at: at.parse().ok()?, text: text.to_owned() })
}

/// Reads the log of one backend, whatever words it uses for being out.
pub fn told(lines: &[Line], backend: SocketAddr, since: DateTime<Utc>) -> Told {
    let mut told = Told::default();
    let named = format!("{backend} ");
    for line in lines.iter().filter(|line| line.text.contains(&named)) {
        let seconds = Some((line.at - since).as_seconds_f64());
        let has = |words: &str| line.text.contains(words);
        if has(" is up") {
            told.up = seconds;
        } else if told.out.is_none() && !has(" joined") && !has(" left") && !has("not healed") {
            told.out = seconds;
        }
        if has(": starts") {
            told.heal_starts = told.heal_starts.or(seconds);
        } else if has("the check passes") || has("recovered before any step") {
            told.healed = seconds;
        } else if let Some((_, step)) = line.text.split_once(": step ") {
            told.steps.push(step.to_owned());
        } else if let Some(word) =
            ["all steps tried", "healing stopped", "budget used", "not healed"].into_iter().find(|word| has(word))
        {
            told.steps.extend(line.text.find(word).map(|at| line.text[at..].to_owned()));
        }
    }
    told
}

/// `remora status --json` in the edge's container.
pub fn status(container: &str) -> Option<Value> {
    let output = Command::new("docker").args(["exec", container, "remora", "status", "--json"]).output().unwrap();
    serde_json::from_slice(&output.stdout).ok()
}

/// States of an upstream's backends.
pub fn states(container: &str, upstream: &str) -> Vec<(String, String)> {
    let status = status(container).unwrap_or_default();
    let upstreams = status["upstreams"].as_array().cloned().unwrap_or_default();
    let backends = upstreams.iter().find(|one| one["name"] == upstream).map(|one| one["backends"].clone());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let backends = backends.and_then(|backends| backends.as_array().cloned()).unwrap_or_default();
    backends.iter().map(|one| (text(&one["address"]), text(&one["state"]))).collect()
}
