//! One step of a ladder in one container. The only place of `heal` that tells Docker to do something.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::config::model::{Preset, Step};
use crate::docker::{Command, ContainerRef, Docker, ExecError, ExecOutcome, FindError, Seen, SentBy};
use crate::types::{ServerAddress, UpstreamName};

use super::policy::ManualHeals;
use super::preset::{self, PresetAction};

/// How long a container has to stop in a restart before it is killed.
const RESTART_GRACE: Duration = Duration::from_secs(10);

/// Which backend is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendRef {
    /// The upstream it belongs to.
    pub upstream: UpstreamName,
    /// The resolved address.
    pub address: SocketAddr,
    /// The server of the file it was resolved from.
    pub server: ServerAddress,
}

/// One step to be done.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// For which backend.
    pub backend: &'a BackendRef,
    /// In which container.
    pub container: &'a ContainerRef,
    /// Which step of the upstream's ladder it is, from 0.
    pub index: usize,
    /// What it is.
    pub step: &'a Step,
    /// Its deadline.
    pub limit: Duration,
}

/// Finds containers and runs steps in them.
#[async_trait]
pub trait ContainerDriver: Send + Sync {
    /// The container of a backend.
    async fn find(&self, backend: &BackendRef) -> Result<ContainerRef, FindError>;

    /// Runs one step. Its success says nothing about the target's health.
    async fn perform(&self, order: &Order<'_>) -> Result<StepDone, ExecError>;

    /// The last lines that the container has logged, for the record; empty where they are not to be had.
    async fn logs(&self, backend: &BackendRef, container: &ContainerRef) -> String;

    /// What keeps an operator's heal back.
    fn manual_heals(&self) -> ManualHeals {
        ManualHeals::AtOnce
    }

    /// Tells what Docker does with containers, as it happens, until nobody listens any more.
    async fn watch(&self, tell: mpsc::Sender<Seen>);
}

/// A step that ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepDone {
    /// Exit code, where there was a command.
    pub code: Option<i64>,
    /// What it said.
    pub output: String,
    /// How long it took.
    pub took: Duration,
}

#[async_trait]
impl ContainerDriver for Docker {
    async fn find(&self, backend: &BackendRef) -> Result<ContainerRef, FindError> {
        Docker::find(self, backend.address, backend.server.host()).await
    }

    async fn logs(&self, _whom: &BackendRef, container: &ContainerRef) -> String {
        Docker::logs(self, container).await
    }

    async fn watch(&self, tell: mpsc::Sender<Seen>) {
        Docker::watch(self, tell).await;
    }

    async fn perform(&self, order: &Order<'_>) -> Result<StepDone, ExecError> {
        run_step(self, order.container, order.step, order.limit).await
    }
}

/// What the logs call step `index`, from 0, of a ladder, in the edge and in the sidecar: `step 1/2 gunicorn reload`.
pub fn step_place(index: usize, count: usize, step: &Step) -> String {
    format!("step {}/{count} {step}", index + 1)
}

/// Runs one step in a container, by the Docker socket.
///
/// # Errors
/// When it cannot be run there, or does not end in time.
pub async fn run_step(
    docker: &Docker,
    container: &ContainerRef,
    step: &Step,
    limit: Duration,
) -> Result<StepDone, ExecError> {
    match step {
        Step::Exec(argv) => docker.exec(container, &Command::new(argv), limit).await.map(StepDone::from),
        Step::Preset(preset) => perform_preset(docker, container, preset, limit).await,
        Step::Signal(signal) => {
            let started = Instant::now();
            Ok(match docker.signal(container, *signal, limit).await? {
                SentBy::Exec(outcome) => StepDone::from(outcome),
                SentBy::Api => {
                    let output = "sent through the Docker API: the image has neither `sh` nor `kill`".into();
                    StepDone { code: None, output, took: started.elapsed() }
                }
            })
        }
        Step::Restart => {
            let took = docker.restart(container, RESTART_GRACE).await?;
            Ok(StepDone { code: None, output: String::new(), took })
        }
    }
}

async fn perform_preset(
    docker: &Docker,
    container: &ContainerRef,
    preset: &Preset,
    limit: Duration,
) -> Result<StepDone, ExecError> {
    match preset::action(preset).map_err(|error| ExecError::BadCommand(error.to_string()))? {
        PresetAction::Command(command) => docker.exec(container, &command, limit).await.map(StepDone::from),
        PresetAction::Pm2 { verb, app } => perform_pm2(docker, container, verb, &app, limit).await,
        PresetAction::Supervisor(program) => perform_supervisor(docker, container, &program, limit).await,
    }
}

/// Finds PM2's daemon and talks to it as its own user: anyone else would be given a new, empty daemon.
async fn perform_pm2(
    docker: &Docker,
    container: &ContainerRef,
    verb: &str,
    app: &str,
    limit: Duration,
) -> Result<StepDone, ExecError> {
    let started = Instant::now();
    let found = docker.exec(container, &preset::find_pm2(), limit).await?;
    let mut last = StepDone { code: Some(3), output: "the PM2 daemon is not running".into(), took: found.took };
    for daemon in preset::daemons(&found.stdout) {
        let rest = limit.saturating_sub(started.elapsed()).max(Duration::from_secs(1));
        let outcome = docker.exec(container, &preset::tell_pm2(&daemon, verb, app), rest).await?;
        last = StepDone { took: started.elapsed(), ..StepDone::from(outcome) };
        if last.code == Some(1) && verb == "restart" && last.output.contains(preset::PM2_STARTED) {
            last.code = Some(0);
        }
        if last.code != Some(preset::PM2_NOT_LISTENING) {
            break;
        }
    }
    Ok(last)
}

/// Finds supervisord and talks to it as its own user, with its own file.
async fn perform_supervisor(
    docker: &Docker,
    container: &ContainerRef,
    program: &str,
    limit: Duration,
) -> Result<StepDone, ExecError> {
    let started = Instant::now();
    let found = docker.exec(container, &preset::find_supervisor(), limit).await?;
    let Some(daemon) = preset::daemons(&found.stdout).into_iter().next() else {
        return Ok(StepDone { code: Some(3), output: "supervisord is not running".into(), took: found.took });
    };
    let rest = limit.saturating_sub(started.elapsed()).max(Duration::from_secs(1));
    let outcome = docker.exec(container, &preset::tell_supervisor(&daemon, "restart", program), rest).await?;
    Ok(StepDone { took: started.elapsed(), ..StepDone::from(outcome) })
}

impl From<ExecOutcome> for StepDone {
    fn from(outcome: ExecOutcome) -> Self {
        let parts: Vec<&str> = [&outcome.stdout, &outcome.stderr].into_iter().map(|text| text.trim()).collect();
        let output = parts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n");
        Self { code: Some(outcome.code), output, took: outcome.took }
    }
}
