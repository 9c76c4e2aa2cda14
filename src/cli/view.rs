//! The status document as a person reads it: one screen, at most as wide as asked. Pure; obeys no byte it shows.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use chrono::DateTime;
use comfy_table::{Cell, CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

use crate::admin::Status;
use crate::admin::status::{BackendStatus, PoolState, ProcessStatus, ReloadStatus, ShownState, UpstreamStatus};
use crate::telemetry::one_line;

/// Heals shown, newest last.
const HEALS_SHOWN: usize = 5;
/// Marks without width that `paint` replaces, so that a table may measure its cells.
const MARKS: [(char, &str); 5] = [
    ('\u{200b}', "\x1b[32m"),
    ('\u{200c}', "\x1b[33m"),
    ('\u{200d}', "\x1b[31m"),
    ('\u{2060}', "\x1b[1m"),
    ('\u{2061}', "\x1b[0m"),
];
const GOOD: usize = 0;
const FAIR: usize = 1;
const BAD: usize = 2;
const BOLD: usize = 3;
const END: usize = 4;

/// How it is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) colour: bool,
    pub(super) utf8: bool,
    pub(super) width: u16,
}

/// The whole view.
pub(super) fn render(status: &Status, look: Look, now: SystemTime) -> String {
    let mut text = String::new();
    process(&mut text, &status.process, look, now);
    routes(&mut text, status, look);
    upstreams(&mut text, status, look, now);
    heals(&mut text, &status.heals, look, now);
    if !status.notes.is_empty() {
        title(&mut text, "notes");
        for note in &status.notes {
            let _ = writeln!(text, "  {}", plain(note));
        }
    }
    paint(&text, look)
}

fn process(text: &mut String, process: &ProcessStatus, look: Look, now: SystemTime) {
    let dot = if look.utf8 { " · " } else { " - " };
    let up = span(Duration::from_secs(process.uptime_seconds));
    let generation = format!("generation {}", process.generation);
    let mut parts = vec![
        mark(BOLD, &format!("remora {}", plain(&process.version))),
        format!("pid {}", process.pid),
        format!("up {up}"),
        generation,
    ];
    parts.extend(process.config_file.as_deref().map(plain));
    let _ = writeln!(text, "{}", parts.join(dot));
    let _ = writeln!(text, "listening on {}", plain(&process.listeners.join(", ")));
    let lanes = (process.fast_requests, process.full_requests, process.connections);
    let _ = writeln!(
        text,
        "requests: {} on the fast lane, {} on the full lane; open connections: {}",
        lanes.0, lanes.1, lanes.2
    );
    if let Some(reload) = &process.last_reload {
        last_reload(text, reload, now);
    }
    if let Some(entry) = process.rolled_back_to {
        let not = mark(FAIR, "not that of the files");
        let _ =
            writeln!(text, "the configuration in force is {not}: entry {entry} of remora history, which a rollback");
        let _ = writeln!(text, "brought back and could not write; remora reload returns to the files");
    }
}

fn last_reload(text: &mut String, reload: &ReloadStatus, now: SystemTime) {
    let ago = ago(&reload.at, now);
    match &reload.error {
        None => {
            let summary = plain(reload.summary.as_deref().unwrap_or_default());
            let _ = writeln!(text, "last reload {ago} by {}: {summary}", plain(&reload.origin));
        }
        Some(report) => {
            let refused = mark(BAD, "refused");
            let _ = writeln!(text, "last reload {ago} by {}: {refused}", plain(&reload.origin));
            for line in report.lines() {
                let _ = writeln!(text, "  {}", plain(line));
            }
        }
    }
}

fn routes(text: &mut String, status: &Status, look: Look) {
    title(text, "routes");
    let mut table = table(look, &["host", "path", "upstream", "lane", "requests"], 4);
    for route in &status.routes {
        let host = route.host.as_deref().unwrap_or("*");
        table.add_row([
            plain(host),
            plain(&route.path),
            plain(&route.upstream),
            plain(&route.lane),
            route.requests.to_string(),
        ]);
    }
    show(text, &table);
}

fn upstreams(text: &mut String, status: &Status, look: Look, now: SystemTime) {
    title(text, "upstreams");
    let backends = || status.upstreams.iter().flat_map(|upstream| &upstream.backends);
    let is_named = backends().any(|backend| backend.container.is_some());
    let names = if is_named { &["upstream", "backend", "container"][..] } else { &["upstream", "backend"][..] };
    let header = [names, &["state", "for", "check", "active", "requests", "failed"][..]].concat();
    let mut table = table(look, &header, header.len() - 3);
    let mut causes = Vec::new();
    for upstream in &status.upstreams {
        let name = format!("{} {}", plain(&upstream.name), pool(upstream));
        if upstream.backends.is_empty() {
            let servers = format!("no address for {}", plain(&upstream.spec.servers.join(", ")));
            table.add_row([name.clone(), servers]);
        }
        for (index, backend) in upstream.backends.iter().enumerate() {
            table.add_row(row(if index == 0 { name.clone() } else { String::new() }, backend, is_named, now));
            if let Some(cause) = &backend.cause {
                let who = with_container(plain(&backend.address), backend.container.as_deref());
                causes.push(format!("  {who} {}: {}", backend.state.as_str(), plain(cause)));
            }
        }
        if 0 < upstream.held {
            causes.push(format!("  {}: {} requests queued", plain(&upstream.name), upstream.held));
        }
    }
    show(text, &table);
    for cause in causes {
        let _ = writeln!(text, "{cause}");
    }
}

/// `172.18.0.3:8000 (backend-1)`
fn with_container(address: String, container: Option<&str>) -> String {
    match container {
        Some(container) => format!("{address} ({})", plain(container)),
        None => address,
    }
}

fn row(name: String, backend: &BackendStatus, is_named: bool, now: SystemTime) -> Vec<String> {
    let colour = match backend.state {
        ShownState::Up => GOOD,
        ShownState::New | ShownState::Draining | ShownState::Healing | ShownState::Held | ShownState::Left => FAIR,
        ShownState::Down | ShownState::Ejected => BAD,
    };
    let check = backend.last_check.as_ref().map(|check| format!("{} {} ms", plain(&check.result), check.duration_ms));
    let mut address = plain(&backend.address);
    if backend.backup {
        address.push_str(" backup");
    }
    let container = is_named.then(|| backend.container.as_deref().map_or_else(|| "-".to_owned(), plain));
    let rest = [
        mark(colour, backend.state.as_str()),
        since(&backend.since, now).map_or_else(|| "-".to_owned(), span),
        check.unwrap_or_else(|| "-".to_owned()),
        backend.in_flight.to_string(),
        backend.requests.to_string(),
        backend.failures.to_string(),
    ];
    [name, address].into_iter().chain(container).chain(rest).collect()
}

fn pool(upstream: &UpstreamStatus) -> String {
    let up = upstream.backends.iter().filter(|backend| backend.state == ShownState::Up).count();
    let all = upstream.backends.iter().filter(|backend| backend.state != ShownState::Left).count();
    let colour = match upstream.state {
        PoolState::Up => GOOD,
        PoolState::Degraded => FAIR,
        PoolState::Down | PoolState::Empty => BAD,
    };
    mark(colour, &format!("{up}/{all}"))
}

/// The newest entries of the journal: what was sick, and apart from it what somebody tried or wanted. Fields that are
/// missing are left out: the journal may know more than this view.
fn heals(text: &mut String, journal: &serde_json::Value, look: Look, now: SystemTime) {
    let entries = journal.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_planned = |entry: &&serde_json::Value| matches!(entry["asked_by"].as_str(), Some("drill" | "reload"));
    let (planned, incidents): (Vec<_>, Vec<_>) = entries.iter().partition(is_planned);
    ladders(text, "heals", &incidents, look, now);
    ladders(text, "drills and reloads", &planned, look, now);
}

fn ladders(text: &mut String, name: &str, entries: &[&serde_json::Value], look: Look, now: SystemTime) {
    let shown = &entries[entries.len().saturating_sub(HEALS_SHOWN)..];
    if shown.is_empty() {
        return;
    }
    title(text, name);
    if shown.len() < entries.len() {
        let _ =
            writeln!(text, "the last {} of {} {name}; all of them: remora status --json", shown.len(), entries.len());
    }
    let mut table = table(look, &["when", "upstream", "backend", "cause", "steps", "result"], 6);
    for entry in shown {
        let field = |name: &str| plain(entry[name].as_str().unwrap_or("-"));
        let steps = entry["steps"].as_array().map_or_else(Vec::new, |steps| {
            let word = |step: &serde_json::Value, name: &str| plain(step[name].as_str().unwrap_or("-"));
            steps.iter().map(|step| format!("{}: {}", word(step, "step"), word(step, "outcome"))).collect()
        });
        let result = field("result");
        let colour = match result.as_str() {
            "healed" | "recovered" => GOOD,
            "failed" | "unrunnable" => BAD,
            _ => FAIR,
        };
        let when = ago(entry["started_at"].as_str().unwrap_or_default(), now);
        let backend = with_container(field("backend"), entry["container"].as_str());
        let cells = [when, field("upstream"), backend, field("cause"), steps.join(", "), mark(colour, &result)];
        table.add_row(cells);
    }
    show(text, &table);
}

fn title(text: &mut String, name: &str) {
    let _ = writeln!(text, "\n{}", mark(BOLD, &name.to_uppercase()));
}

/// A table without frames; columns from `numbers` on are set right.
pub(super) fn table(look: Look, header: &[&str], numbers: usize) -> Table {
    let line = if look.utf8 { '─' } else { '-' };
    let mut table = Table::new();
    table
        .load_style(TableStyle::new().header_separator(LineStyle::none().fill(line).junction(line)))
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(look.width)
        .set_header(header.iter().map(|name| Cell::new(*name)));
    for column in table.column_iter_mut().skip(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

pub(super) fn show(text: &mut String, table: &Table) {
    for line in table.lines() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

/// A text from the edge: one line, no control characters, none of our marks.
pub(super) fn plain(text: &str) -> String {
    let mut line = one_line(text);
    line.retain(|c| !MARKS.iter().any(|(mark, _)| *mark == c));
    line
}

fn mark(kind: usize, text: &str) -> String {
    format!("{}{text}{}", MARKS[kind].0, MARKS[END].0)
}

/// Turns marks into colours, or removes them; without UTF-8 other characters become `?`.
fn paint(text: &str, look: Look) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match MARKS.iter().find(|(mark, _)| *mark == c) {
            Some((_, code)) if look.colour => out.push_str(code),
            Some(_) => {}
            None if c.is_ascii() || look.utf8 => out.push(c),
            None => out.push('?'),
        }
    }
    out
}

fn since(at: &str, now: SystemTime) -> Option<Duration> {
    let at = SystemTime::from(DateTime::parse_from_rfc3339(at).ok()?);
    Some(now.duration_since(at).unwrap_or(Duration::ZERO))
}

pub(super) fn ago(at: &str, now: SystemTime) -> String {
    since(at, now).map_or_else(|| "-".to_owned(), |since| format!("{} ago", span(since)))
}

/// `12s`, `3m 5s`, `2h 3m`, `4d 2h`.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m {}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h {minutes}m"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
