//! `remora reload [UPSTREAM]`

use std::time::Duration;

use anyhow::Context;

use crate::admin::status::ReloadAnswer;
use crate::reload::NEW_DEFAULT;
use crate::telemetry::one_line;

use super::client::{self, Admin, AdminResponse, error, query};
use super::exit::Exit;
use super::{heal, terminal};

/// Longer than the edge gives itself.
const WITHIN: Duration = Duration::from_secs(115);

/// Reload the running edge's configuration, or the replicas of an upstream one by one.
///
/// With UPSTREAM, the first step of its `heal` runs on each replica in turn, while the others get its requests.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  remora reload            # the file, as saving it does
  remora reload backend    # its replicas, one by one")]
pub(super) struct ReloadArguments {
    /// Upstream whose replicas are reloaded [default: the edge reloads its configuration]
    upstream: Option<String>,
    /// Print the result as JSON
    #[arg(long, requires = "upstream")]
    json: bool,
    #[command(flatten)]
    admin: Admin,
}

pub(super) fn run(arguments: &ReloadArguments) -> anyhow::Result<Exit> {
    if arguments.upstream.is_some() {
        let path = query("/reload", &[("upstream", arguments.upstream.as_deref())]);
        return heal::work(&arguments.admin, &path, arguments.json);
    }
    let answer = client::ask(arguments.admin.address()?, "POST", "/reload", WITHIN)?;
    match outcome(&answer)? {
        Ok(line) => {
            terminal::say(&line)?;
            Ok(Exit::Done)
        }
        Err(report) => {
            terminal::complain(&report);
            Ok(Exit::Refused)
        }
    }
}

/// The line to print, or the report of a file that was refused.
fn outcome(answer: &AdminResponse) -> anyhow::Result<Result<String, String>> {
    match answer.status {
        200 => {
            let ReloadAnswer { generation, summary, took_ms, notes, new_defaults } =
                serde_json::from_str(&answer.body).context("cannot parse the edge's response")?;
            let notes: String = notes.iter().map(|note| format!("\nwarning: {}", one_line(note))).collect();
            let news: String = new_defaults.iter().map(|line| format!("\n{NEW_DEFAULT}: {}", one_line(line))).collect();
            Ok(Ok(format!("generation {generation} in force: {summary} ({took_ms} ms){notes}{news}")))
        }
        422 => Ok(Err(error(&answer.body))),
        status => anyhow::bail!("the edge responded {status}: {}", error(&answer.body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_becomes_a_line_or_a_report() {
        let answer = |status, body: &str| AdminResponse { status, body: body.to_owned() };
        let good = outcome(&answer(200, r#"{"generation":8,"summary":"1 route added (/x)","took_ms":12}"#)).unwrap();
        assert_eq!(good.unwrap(), "generation 8 in force: 1 route added (/x) (12 ms)");
        let odd = r#"{"generation":8,"summary":"nothing changed","took_ms":1,"notes":["/a.yaml is mounted"]}"#;
        let odd = outcome(&answer(200, odd)).unwrap();
        assert_eq!(odd.unwrap(), "generation 8 in force: nothing changed (1 ms)\nwarning: /a.yaml is mounted");
        let news = r#"{"generation":8,"summary":"nothing changed","took_ms":1,"new_defaults":["api: x"]}"#;
        let news = outcome(&answer(200, news)).unwrap().unwrap();
        assert!(news.ends_with("\nnew default in this version: api: x"), "{news}");
        let bad = outcome(&answer(422, r#"{"error":"error: no upstream\n  --> remora.yaml:4:1"}"#)).unwrap();
        assert_eq!(bad.unwrap_err(), "error: no upstream\n  --> remora.yaml:4:1");
        let failed = outcome(&answer(403, r#"{"error":"no"}"#)).unwrap_err();
        assert_eq!(failed.to_string(), "the edge responded 403: no");
    }
}
