//! `remora check [FILE] [--schema]`

use std::io;
use std::path::{Path, PathBuf};

use crate::certificate_reader::{self, EdgeUser};
use crate::config::{self, LoadedFiles, Report};
use crate::front::tls;

use super::as_user::become_user;
use super::exit::Exit;
use super::{file, terminal};

/// What reports call standard input.
const STANDARD_INPUT: &str = "<stdin>";

/// Validate a configuration file and list every problem, without running it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  remora check
  remora check conf/remora.yaml
  remora check - < remora.yaml
  remora check --schema > remora.schema.json")]
pub(super) struct CheckArguments {
    /// Configuration file, `-` for standard input [default: /etc/remora/remora.yaml, else conf/remora.yaml]
    file: Option<PathBuf>,
    /// Print the JSON Schema of the file, for editors
    #[arg(long, conflicts_with = "file")]
    schema: bool,
}

pub(super) fn run(arguments: &CheckArguments) -> anyhow::Result<Exit> {
    if arguments.schema {
        terminal::say(&serde_json::to_string_pretty(&config::schema())?)?;
        return Ok(Exit::Done);
    }
    // As root there is nothing that cannot be read; the edge of this container is not root, and has a reader.
    if let Some(EdgeUser { user, group }) = certificate_reader::served_user() {
        become_user(user, group);
    }
    let (file, loaded) = load(arguments.file.as_deref())?;
    match loaded {
        Ok(loaded) => {
            for warning in loaded.warnings {
                terminal::complain(&warning.to_string());
            }
            file::doubts(&loaded.config).iter().for_each(|doubt| terminal::complain(doubt));
            let site = &loaded.config.site;
            let count = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
            let (routes, upstreams) =
                (count(site.to_upstreams().count(), "route"), count(site.upstreams.len(), "upstream"));
            terminal::say(&format!("{} is valid: {routes}, {upstreams}", file.display()))?;
            if !loaded.changed_defaults.is_empty() {
                terminal::complain("new defaults in this version, where the file says nothing itself:");
            }
            for changed in &loaded.changed_defaults {
                terminal::complain(&format!("  {}", changed.text));
            }
            Ok(Exit::Done)
        }
        Err(report) => {
            terminal::complain(&report.render(terminal::stderr_has_colour()));
            Ok(Exit::Refused)
        }
    }
}

fn load(named: Option<&Path>) -> Result<(PathBuf, Result<LoadedFiles, Report>), file::NoFile> {
    let env = |name: &str| std::env::var(name).ok();
    if named == Some(Path::new("-")) {
        let file = PathBuf::from(STANDARD_INPUT);
        let loaded = config::load_from_reader(&file, io::stdin().lock(), &env, &tls::prove);
        return Ok((file, loaded));
    }
    let file = file::choose(named)?;
    let loaded = config::load_proving(&file, &env, &tls::prove);
    Ok((file, loaded))
}
