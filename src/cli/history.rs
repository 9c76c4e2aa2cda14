//! `remora history [--json]`

use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};

use crate::reload::{HistoryResult, ShownEntry};

use super::client::{self, Admin};
use super::exit::Exit;
use super::terminal;
use super::view::{self, Look, ago, plain};

/// The edge answers from memory.
const WITHIN: Duration = Duration::from_secs(5);

/// List the last reloads of the running edge, and what each changed.
///
/// The numbers are what `remora rollback` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  remora history
  remora history --json | jq '.[-1].differences'")]
pub(super) struct HistoryArguments {
    /// Print the entries as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: Admin,
}

pub(super) fn run(arguments: &HistoryArguments) -> anyhow::Result<Exit> {
    let address = arguments.admin.address()?;
    let answer = client::ask(address, "GET", "/history", WITHIN)?;
    if answer.status != 200 {
        bail!("the edge at {address} responded {}: {}", answer.status, client::error(&answer.body));
    }
    if arguments.json {
        terminal::say(answer.body.trim_end())?;
        return Ok(Exit::Done);
    }
    let entries: Vec<ShownEntry> =
        serde_json::from_str(&answer.body).context("cannot parse the edge's response; is it another version?")?;
    let look = Look { colour: false, utf8: terminal::has_utf8(), width: terminal::width() };
    terminal::say(render(&entries, look, SystemTime::now()).trim_end())?;
    Ok(Exit::Done)
}

/// A line an entry, newest last.
fn render(entries: &[ShownEntry], look: Look, now: SystemTime) -> String {
    if entries.is_empty() {
        return "no reloads yet".to_owned();
    }
    let mut table = view::table(look, &["entry", "when", "by", "result", "differences"], usize::MAX);
    for ShownEntry { entry, in_force, kept } in entries {
        let result = if *in_force { "in force" } else { entry.result.as_str() };
        let mut differences = plain(&entry.differences);
        // Of a rollback that was refused nothing is kept; it names what it wanted.
        let has_none = entry.result == HistoryResult::Refused && entry.rolled_back_to.is_some();
        if !kept && !has_none {
            differences.push_str(" (text not kept)");
        }
        let by = match entry.rolled_back_to {
            Some(to) => format!("{} to {to}", by(&entry.origin)),
            None => by(&entry.origin),
        };
        table.add_row([entry.id.to_string(), ago(&entry.at, now), by, result.to_owned(), differences]);
    }
    let mut text = String::new();
    view::show(&mut text, &table);
    text
}

fn by(origin: &str) -> String {
    match origin {
        "file" => "file change".to_owned(),
        "admin" => "command".to_owned(),
        other => plain(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reload::HistoryEntry;

    #[test]
    fn an_entry_is_a_line() {
        let entry = |id, origin: &str, result, differences: &str, rolled_back_to| HistoryEntry {
            id,
            at: "2026-11-21T08:00:00.000Z".to_owned(),
            origin: origin.to_owned(),
            result,
            generation: 1,
            differences: differences.to_owned(),
            rolled_back_to,
        };
        let shown = |entry, in_force, kept| ShownEntry { entry, in_force, kept };
        let entries = [
            shown(
                entry(7, "start", HistoryResult::Accepted, "first configuration in this history", None),
                false,
                false,
            ),
            shown(entry(8, "file", HistoryResult::Refused, "remora.yaml:4:1: no upstream\u{1b}[2J", None), false, true),
            shown(entry(9, "rollback", HistoryResult::Accepted, "1 route added (/x)", Some(7)), true, true),
            shown(entry(10, "rollback", HistoryResult::Refused, "a problem", Some(8)), false, false),
        ];
        let now = SystemTime::from(chrono::DateTime::parse_from_rfc3339("2026-11-21T08:03:05Z").unwrap());
        let text = render(&entries, Look { colour: false, utf8: false, width: 160 }, now);
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[0], "entry when by result differences");
        #[rustfmt::skip]
        assert_eq!(lines[2..], [
            "7 3m 5s ago start accepted first configuration in this history (text not kept)",
            "8 3m 5s ago file change refused remora.yaml:4:1: no upstream\\x1B[2J",
            "9 3m 5s ago rollback to 7 in force 1 route added (/x)",
            "10 3m 5s ago rollback to 8 refused a problem",
        ]);
        assert_eq!(render(&[], Look { colour: false, utf8: false, width: 160 }, now), "no reloads yet");
    }
}
