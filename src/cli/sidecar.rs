//! `remora sidecar [FILE]`

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;

use crate::config::model::{DockerSpec, SidecarSpec};
use crate::reload::FileLoader;
use crate::server::{FileSource, SidecarStart, run_sidecar};
use crate::sidecar::{Sidecar, SidecarStatus};

use super::as_user::become_user;
use super::exit::Exit;
use super::{file, terminal};

/// How long a sidecar may take to say how it is.
const WITHIN: Duration = Duration::from_secs(5);

/// Run the privileged healing helper: it holds the Docker socket and runs only the heals in the file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  remora sidecar remora.yaml
  remora sidecar --status")]
pub(super) struct SidecarArguments {
    /// Configuration file with `docker: { sidecar: PATH }` [default: /etc/remora/remora.yaml, else conf/remora.yaml]
    file: Option<PathBuf>,
    /// Folder for the heal counters, which survive a restart; for the sidecar only
    #[arg(long, value_name = "FOLDER", default_value = "/var/lib/remora")]
    state: PathBuf,
    /// Show the state of the running sidecar; exit code 1 when it does not respond
    #[arg(long, conflicts_with = "state")]
    status: bool,
}

/// The file has no sidecar in it.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} configures no sidecar; write `docker: {{ sidecar: /run/remora/heal.sock }}`, for the edge and for the sidecar"
)]
pub(super) struct NotConfigured(pub(super) String);

pub(super) fn run(arguments: &SidecarArguments) -> anyhow::Result<Exit> {
    let file = file::choose(arguments.file.as_deref())?;
    let loader = FileLoader::new(file.clone());
    let loaded = match file::load(&loader) {
        Ok(loaded) => loaded,
        Err(report) => {
            terminal::complain(&report);
            return Ok(Exit::Refused);
        }
    };
    let DockerSpec::Sidecar(spec) = loaded.config.process.docker.clone() else {
        return Err(NotConfigured(file.display().to_string()).into());
    };
    if arguments.status {
        return status(&spec);
    }
    let source = FileSource::new(file, Box::new(loader), &loaded);
    run_sidecar(SidecarStart { config: loaded.config, spec, source, state: arguments.state.clone() })?;
    Ok(Exit::Done)
}

fn status(spec: &SidecarSpec) -> anyhow::Result<Exit> {
    become_its_user(&spec.path);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sidecar = Sidecar::at(spec.path.clone());
    let asked = runtime.block_on(async { tokio::time::timeout(WITHIN, sidecar.status()).await });
    match asked {
        Ok(Ok(standing)) => {
            terminal::say(&shown(&standing))?;
            Ok(Exit::Done)
        }
        Ok(Err(error)) => bail!("{error}"),
        Err(_) => bail!("the sidecar at {} timed out after {WITHIN:?}", spec.path.display()),
    }
}

/// A sidecar answers its own user only. `docker exec` comes as root, which may become that one, and without capabilities
/// may do no more: not even look into the folder of the socket, whose owner that user is too.
fn become_its_user(socket: &Path) {
    let about = socket.symlink_metadata().or_else(|_| socket.parent().unwrap_or(Path::new("/")).metadata());
    if let Ok(about) = about {
        become_user(about.uid(), about.gid());
    }
}

fn shown(standing: &SidecarStatus) -> String {
    let SidecarStatus { docker, upstreams, steps, running, refused, closed } = standing;
    format!(
        "Docker: {docker}\nupstreams with a heal: {upstreams}\nsteps: {steps} run, {running} running, {refused} refused\n\
         connections closed: {closed}"
    )
}
