//! `remora man [--to FOLDER]`

use std::path::PathBuf;

use anyhow::Context as _;

use super::exit::Exit;
use super::terminal;

/// Print the manual page, made from the same definitions as this help.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  remora man | man -l -
  remora man --to /usr/local/share/man/man1")]
pub(super) struct ManArguments {
    /// Write a page of each command into this folder instead
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
}

pub(super) fn run(arguments: &ManArguments, grammar: clap::Command) -> anyhow::Result<Exit> {
    if let Some(folder) = &arguments.to {
        std::fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(grammar, folder))
            .with_context(|| format!("cannot write manual pages to {}", folder.display()))?;
        return Ok(Exit::Done);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(grammar).render(&mut page)?;
    terminal::say(String::from_utf8_lossy(&page).trim_end())?;
    Ok(Exit::Done)
}
