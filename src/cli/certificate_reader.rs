//! `remora certificate-reader [FILE]`

use std::path::PathBuf;

use anyhow::Context as _;

use crate::certificate_reader::{EdgeUser, NamedFiles, ReaderAddress, bind};
use crate::telemetry::{self, Metrics};

use super::exit::Exit;
use super::{file, terminal};

/// Read certificates and keys that only root can read, for an edge that is not root. The image starts it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  remora certificate-reader --for 10001:10001 /etc/remora/remora.yaml

It ends at once where the file names no certificate. The image's entrypoint starts it when the container
starts as root, with a user of its own and no more than the capability to read what others may not.")]
pub(super) struct CertificateReaderArguments {
    /// Configuration file, the edge's own [default: /etc/remora/remora.yaml, else conf/remora.yaml]
    file: Option<PathBuf>,
    /// User and group of the edge, by number: nobody else is answered
    #[arg(long = "for", value_name = "USER:GROUP")]
    edge: EdgeUser,
}

pub(super) fn run(arguments: &CertificateReaderArguments) -> anyhow::Result<Exit> {
    let file = file::choose(arguments.file.as_deref())?;
    let files = match NamedFiles::of(file, arguments.edge) {
        Ok(files) => files,
        Err(why) => {
            terminal::complain(&format!("remora: the certificate reader does not start: {why}"));
            return Ok(Exit::Refused);
        }
    };
    if files.count() == 0 {
        return Ok(Exit::Done);
    }
    let socket = bind(&ReaderAddress::here()?).context("the certificate reader cannot take its address")?;
    if let Some(log) = files.log() {
        telemetry::log::init(log, Metrics::new()?.log_lines_dropped("error"))?;
    }
    let EdgeUser { user, group } = arguments.edge;
    log::info!("reading {} certificate files for user {user}, group {group}", files.count());
    socket.serve(files)
}
