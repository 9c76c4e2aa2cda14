//! `remora rollback [ENTRY]`

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context;

use crate::admin::status::RollbackAnswer;
use crate::telemetry::one_line;

use super::client::{self, Admin, error, query};
use super::exit::Exit;
use super::terminal;

/// Longer than the edge gives itself.
const WITHIN: Duration = Duration::from_secs(115);

/// Bring an earlier configuration back.
///
/// Without ENTRY, the last change is undone: a file that was refused gets back what is in force; otherwise what was in
/// force before comes back. It is checked as any reload is, put in force and written into its files. Where they cannot be
/// written it is in force until the files change, the edge restarts, or `remora reload`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  remora rollback       # undo the last change; once more, and it is back
  remora history        # the numbers
  remora rollback 7")]
pub(super) struct RollbackArguments {
    /// Number in `remora history` [default: the one before the current]
    entry: Option<u64>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: Admin,
}

pub(super) fn run(arguments: &RollbackArguments) -> anyhow::Result<Exit> {
    let entry = arguments.entry.map(|entry| entry.to_string());
    let path = query("/rollback", &[("to", entry.as_deref())]);
    let answer = client::ask(arguments.admin.address()?, "POST", &path, WITHIN)?;
    match answer.status {
        200 => {
            let done: RollbackAnswer =
                serde_json::from_str(&answer.body).context("cannot parse the edge's response")?;
            let text = if arguments.json { answer.body } else { render(&done) };
            terminal::say(text.trim_end())?;
            Ok(Exit::Done)
        }
        422 => {
            terminal::complain(&error(&answer.body));
            Ok(Exit::Refused)
        }
        status => anyhow::bail!("the edge responded {status}: {}", error(&answer.body)),
    }
}

/// What came into force, what became of the files, and the way back.
fn render(done: &RollbackAnswer) -> String {
    let RollbackAnswer { generation, summary, took_ms, to, written, set_aside, replaced, not_written } = done;
    let mut text = format!("generation {generation} in force: {} ({took_ms} ms), entry {to}\n", one_line(summary));
    if !written.is_empty() {
        let _ = writeln!(text, "written: {}", one_line(&written.join(", ")));
    }
    for [file, name] in set_aside {
        let _ = writeln!(text, "was not there then: {}, which is {} now", one_line(file), one_line(name));
    }
    match (not_written, replaced) {
        (Some(why), _) => {
            let _ = writeln!(text, "warning: the files still say otherwise: {}", one_line(why));
            text.push_str("a change of the files, a restart or `remora reload` returns to what they say\n");
        }
        (None, Some(entry)) => {
            let _ = writeln!(text, "what the files said before is entry {entry}: remora rollback {entry}");
        }
        (None, None) => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_and_the_way_back_are_named() {
        let mut done = RollbackAnswer {
            generation: 9,
            summary: "1 route added (/x)".to_owned(),
            took_ms: 12,
            to: 7,
            written: vec!["/a.yaml".to_owned(), "/b.yaml".to_owned()],
            set_aside: vec![["/c.yaml".to_owned(), "/.c.yaml.before-rollback".to_owned()]],
            replaced: Some(8),
            not_written: None,
        };
        #[rustfmt::skip]
        assert_eq!(render(&done).lines().collect::<Vec<_>>(), [
            "generation 9 in force: 1 route added (/x) (12 ms), entry 7",
            "written: /a.yaml, /b.yaml",
            "was not there then: /c.yaml, which is /.c.yaml.before-rollback now",
            "what the files said before is entry 8: remora rollback 8",
        ]);
        done.not_written = Some("/a.yaml is read-only".to_owned());
        (done.written, done.set_aside) = (Vec::new(), Vec::new());
        #[rustfmt::skip]
        assert_eq!(render(&done).lines().collect::<Vec<_>>(), [
            "generation 9 in force: 1 route added (/x) (12 ms), entry 7",
            "warning: the files still say otherwise: /a.yaml is read-only",
            "a change of the files, a restart or `remora reload` returns to what they say",
        ]);
    }
}
