//! `remora check [FILE] [--schema]`

use std::path::PathBuf;

use crate::config;
use crate::reload::FileLoader;

use super::exit::Exit;
use super::{file, terminal};

/// Validate a configuration file and list every problem, without running it.
#[derive(Debug, clap::Args)]
pub(super) struct CheckArguments {
    /// Configuration file [default: /etc/remora/remora.yaml, else conf/remora.yaml]
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
    let file = file::choose(arguments.file.as_deref())?;
    match file::load_with_certificates(&FileLoader::new(file.clone())) {
        Ok(loaded) => {
            let site = &loaded.config.site;
            let count = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
            let (routes, upstreams) =
                (count(site.to_upstreams().count(), "route"), count(site.upstreams.len(), "upstream"));
            terminal::say(&format!("{} is valid: {routes}, {upstreams}", file.display()))?;
            Ok(Exit::Done)
        }
        Err(report) => {
            terminal::complain(&report);
            Ok(Exit::Refused)
        }
    }
}
