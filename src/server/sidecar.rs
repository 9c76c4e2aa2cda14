//! The sidecar's process: builds its parts, starts them in order, and ends them in order. It listens on one unix socket and
//! nowhere else.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::config::changed_defaults;
use crate::config::model::{Config, SidecarSpec};
use crate::docker::Docker;
use crate::reload::{History, NotPublished, Publish, Published};
use crate::sidecar::{self, CounterFileError, Rules, Service, SocketError};
use crate::telemetry::{self, Alerts, Metrics};
use crate::types::OwnedTask;

use super::error::RunError;
use super::signals::{LAST_LINES, Rotated, Signals};
use super::source::{FileSource, start_reload};

/// How long the end waits for steps that run, below Docker's 10 s.
const LAST_STEPS: Duration = Duration::from_secs(8);

/// What a sidecar is started with.
pub struct SidecarStart {
    /// The configuration in force from the start.
    pub config: Config,
    /// Where it listens, and where its Docker is.
    pub spec: SidecarSpec,
    /// Where the configuration was read from.
    pub source: FileSource,
    /// Where the counters are kept.
    pub state: PathBuf,
}

/// Why the sidecar did not run.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// The socket cannot be had.
    #[error(transparent)]
    Bind(#[from] SocketError),
    /// The counters cannot be kept.
    #[error(transparent)]
    CounterFile(#[from] CounterFileError),
    /// Anything else.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<std::io::Error> for SidecarError {
    fn from(error: std::io::Error) -> Self {
        Self::Run(error.into())
    }
}

/// Runs a sidecar until a signal ends it.
///
/// # Errors
/// When it cannot start; nothing listens then.
pub fn run_sidecar(start: SidecarStart) -> Result<(), SidecarError> {
    let metrics = Metrics::new().map_err(RunError::from)?;
    telemetry::log::init(&start.config.process.log, metrics.log_lines_dropped("error"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let ended = runtime.block_on(serve(start, metrics));
    runtime.shutdown_background();
    telemetry::log::flush(LAST_LINES);
    ended
}

async fn serve(start: SidecarStart, metrics: Arc<Metrics>) -> Result<(), SidecarError> {
    let Signals { mut end, harmless, hangups } = Signals::install(true)?;
    let harmless = OwnedTask::spawn(harmless.run(Rotated::default()));
    let SidecarStart { config, spec, source, state } = start;
    let bound = sidecar::bind(&spec.path).await?;
    let rules = Arc::new(Rules::new(config.site.clone()));
    let docker = Docker::connect(&spec.daemon());
    let service = Service::start(docker, Arc::clone(&rules), bound, &state)?;
    let publisher = RulesPublisher { rules, generation: 1.into() };
    let history = Arc::new(History::default());
    // The edge tells them, which reads the same file.
    changed_defaults(env!("CARGO_PKG_VERSION")).for_each(|key| _ = history.tell_once(&key));
    let reload =
        hangups.map(|hangups| start_reload(source, publisher, config, &metrics, &Alerts::default(), hangups, history));
    tell(&spec.path, &state);
    end.next().await;
    log::info!("ending");
    drop((reload, harmless));
    service.end(LAST_STEPS).await;
    Ok(())
}

fn tell(path: &Path, state: &Path) {
    let user = rustix::process::geteuid().as_raw();
    log::info!("listening on {} for user {user} only; counters in {}", path.display(), state.display());
}

/// Puts a changed file in force: no more than to know it.
struct RulesPublisher {
    rules: Arc<Rules>,
    generation: std::sync::atomic::AtomicU64,
}

#[async_trait]
impl Publish for RulesPublisher {
    async fn publish(&self, config: Config) -> Result<Published, NotPublished> {
        self.rules.replace(config.site);
        let before = self.generation.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(Published { generation: before + 1 })
    }
}
