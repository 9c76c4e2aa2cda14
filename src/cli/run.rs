//! `remora run [FILE]`

use std::path::PathBuf;

use super::{Exit, file, seam, terminal};

/// Run the edge.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration; else /etc/remora/remora.yaml, else conf/remora.yaml
    file: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let file = file::choose(arguments.file.as_deref())?;
    match seam::load(&file, terminal::stderr_has_colour()) {
        Ok(loaded) => {
            seam::run(&file, loaded)?;
            Ok(Exit::Done)
        }
        Err(report) => {
            terminal::complain(&report);
            Ok(Exit::Refused)
        }
    }
}
