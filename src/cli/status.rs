//! `remora status [--json] [--watch]`

use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};

use crate::admin::Status;

use super::client::{self, Admin};
use super::exit::Exit;
use super::terminal;
use super::view::{self, Look};

/// The edge answers from memory.
const WITHIN: Duration = Duration::from_secs(5);
/// Pause between two views of `--watch`.
const EVERY: Duration = Duration::from_secs(2);

/// Show routes, upstreams, backends and heals of the running edge.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  remora status
  remora status --watch
  remora status --json | jq .upstreams
  remora status --admin 127.0.0.1:9902")]
pub(super) struct StatusArguments {
    /// Print the whole document as JSON
    #[arg(long, conflicts_with = "watch")]
    json: bool,
    /// Refresh every two seconds, until interrupted
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    admin: Admin,
}

pub(super) fn run(arguments: &StatusArguments) -> anyhow::Result<Exit> {
    let address = arguments.admin.address()?;
    let look = Look { colour: terminal::stdout_has_colour(), utf8: terminal::has_utf8(), width: terminal::width() };
    loop {
        let answer = client::ask(address, "GET", "/status", WITHIN)?;
        if answer.status != 200 {
            bail!("the edge at {address} responded {}: {}", answer.status, answer.body.trim());
        }
        if arguments.json {
            terminal::say(answer.body.trim_end())?;
            return Ok(Exit::Done);
        }
        let status: Status =
            serde_json::from_str(&answer.body).context("cannot parse the edge's response; is it another version?")?;
        let text = view::render(&status, look, SystemTime::now());
        if !arguments.watch {
            terminal::say(text.trim_end())?;
            return Ok(Exit::Done);
        }
        // Home and clear below, so that the view stays in one place.
        let clear = if look.colour { "\x1b[H\x1b[J" } else { "" };
        terminal::say(&format!("{clear}{text}"))?;
        thread::sleep(EVERY);
    }
}
