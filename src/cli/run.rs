//! `remora run [FILE]`

use std::path::PathBuf;

use crate::reload::FileLoader;
use crate::server::{self, FileSource, Start};

use super::exit::Exit;
use super::{file, terminal};

/// Run the edge.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  remora run
  remora run conf/remora.yaml")]
pub(super) struct RunArguments {
    /// Configuration file [default: /etc/remora/remora.yaml, else conf/remora.yaml]
    file: Option<PathBuf>,
}

pub(super) fn run(arguments: &RunArguments) -> anyhow::Result<Exit> {
    let file = file::choose(arguments.file.as_deref())?;
    let loader = FileLoader::new(file.clone());
    match file::load_with_certificates(&loader) {
        Ok(loaded) => {
            let source = FileSource::new(file, Box::new(loader), &loaded);
            server::run(Start { config: loaded.config, source: Some(source) }, |_| {})?;
            Ok(Exit::Done)
        }
        Err(report) => {
            terminal::complain(&report);
            Ok(Exit::Refused)
        }
    }
}
