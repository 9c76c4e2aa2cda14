//! The composition root: builds every part, starts it in order, and ends it in order. Reads like a list.

mod alert_watch;
mod error;
mod heal_world;
mod memory;
mod outages;
mod publish;
mod renew;
mod sidecar;
mod signals;
mod source;
mod view;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

use crate::admin::{self, Access, AdminListener};
use crate::config::model::{AccessLogSpec, Config, DockerSpec, JournalFile, ProcessSpec, Threads};
use crate::docker::Docker;
use crate::front::tls::Certificates;
use crate::front::{self, Bound, Guard};
use crate::heal::{AtWork, ContainerDriver, HealTools, Healer, Journal, journal_folder, journal_name, journal_path};
use crate::proxy::Edge;
use crate::relay;
use crate::reload::History;
use crate::sidecar::Sidecar;
use crate::snapshot::{Snapshot, SnapshotCell};
use crate::telemetry::{self, AccessLogger, Alert, Alerts, Metrics};
use crate::types::{Active, OwnedTask};
use crate::upstream::{SystemResolver, UpstreamTools};

pub use error::RunError;
pub use sidecar::{SidecarError, SidecarStart, run_sidecar};
pub use source::FileSource;

use alert_watch::AlertWatch;
use heal_world::LiveWorld;
use publish::Publisher;
use renew::Renewing;
use signals::{EndSignals, Ending, LAST_LINES, Rotated, Signals};
use source::start_reload;
use view::View;

/// Memory that all request bodies together may wait in for their backend, KiB; beyond it they stream.
const BODIES_KIB: usize = 64 * 1024;
/// Most workers of `threads: auto`, as many as the file may ask for.
const THREADS_MAX: usize = 256;
/// How long the start waits for the first probes.
const FIRST_PROBES: Duration = Duration::from_millis(1500);
/// How long the end waits for connections once no request is left.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// What an edge is started with.
pub struct Start {
    /// The configuration in force from the start.
    pub config: Config,
    /// Where it was read from, if it may be read again.
    pub source: Option<FileSource>,
}

/// Runs an edge until a signal ends it. `ready` is called once it listens, with the addresses.
///
/// # Errors
/// When it cannot start; nothing listens then.
pub fn run(start: Start, ready: impl FnOnce(&[SocketAddr])) -> Result<(), RunError> {
    let metrics = Metrics::new()?;
    let process = start.config.process.clone();
    telemetry::log::init(&process.log, metrics.log_lines_dropped("error"))?;
    // Checks, heals, reloads and the admin listener; clients have workers of their own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let signals = {
        let _inside = runtime.enter();
        Signals::install(start.source.is_some())?
    };
    let bind = |(address, access): (Option<SocketAddr>, Access)| address.map(|address| admin::bind(address, access));
    let asked = [(process.admin, Access::Full), (process.metrics, Access::ReadOnly)];
    let admin = asked.into_iter().filter_map(bind).collect::<Result<Vec<_>, _>>()?;
    let bound = front::bind(&process.listen)?;
    let ended = runtime.block_on(serve(start, metrics, Doors { bound, admin, signals }, ready));
    // What is left are connections of clients who were told, or a second signal's haste.
    runtime.shutdown_background();
    ended
}

/// Everything that listens, and what the system asks.
struct Doors {
    bound: Bound,
    admin: Vec<AdminListener>,
    signals: Signals,
}

async fn serve(
    start: Start,
    metrics: Arc<Metrics>,
    doors: Doors,
    ready: impl FnOnce(&[SocketAddr]),
) -> Result<(), RunError> {
    let Signals { end: mut signals, harmless, hangups } = doors.signals;
    let process = start.config.process.clone();
    let changed = Arc::new(watch::Sender::new(0));
    let tools = UpstreamTools {
        resolver: Arc::new(SystemResolver::default()),
        metrics: Arc::clone(&metrics),
        changed: Arc::clone(&changed),
    };
    let first = Snapshot::start(1, start.config.site.clone(), None, &tools);
    first.ready(FIRST_PROBES).await;
    metrics.config_in_force(first.generation);
    let snapshots = Arc::new(SnapshotCell::new(first));

    let access = Arc::new(open_access_log(&process.log.access, &metrics)?);
    let active = Arc::new(Active::default());
    let connections = Arc::new(Active::default());
    let clerk = Clerk { access: Arc::clone(&access), active: Arc::clone(&active), metrics: Arc::clone(&metrics) };
    let (stop, stopped) = watch::channel(false);
    let threads = worker_threads(process.threads);
    let shared = lanes(&process, threads, &snapshots, &clerk, &connections, &stopped);
    let addresses = doors.bound.addresses();
    let certificates = doors.bound.certificates();
    let alerts = Alerts::start(process.alerts.as_ref())?;

    let journal = Arc::new(open_journal(&process.journal, &alerts));
    let file = start.source.as_ref().map(|source| source.file.clone());
    let publisher = Publisher { snapshots: Arc::clone(&snapshots), tools };
    let reload = start.source.zip(hangups).map(|(mut source, hangups)| {
        source.loader = Box::new(Renewing { loader: source.loader, certificates: certificates.clone() });
        start_reload(source, publisher, start.config, &metrics, &alerts, hangups, open_history(&process.journal))
    });
    let tasks = background(&process, alerts, &snapshots, &access, &certificates);
    let harmless = OwnedTask::spawn(harmless.run(Rotated::of(&journal, &access)));
    let world = LiveWorld::new(Arc::clone(&snapshots), Arc::clone(&metrics), changed);
    let healer = start_healer(&process.docker, world, &journal);
    let view = Arc::new(View {
        snapshots,
        metrics,
        journal,
        healer: healer.as_ref().map(Healer::handle),
        names: healer.as_ref().map(Healer::container_names).unwrap_or_default(),
        reload,
        file,
        listeners: addresses.clone(),
        started: Instant::now(),
        in_flight: Arc::clone(&active),
        connections: Arc::clone(&connections),
        lane: process.lane,
        certificates,
    });
    let serve = |listener| OwnedTask::spawn(admin::serve(listener, Arc::clone(&view) as _));
    let admin: Vec<_> = doors.admin.into_iter().map(serve).collect();
    // Last: clients may take every file there is.
    front::start(threads, &shared, doors.bound.into_endpoints(), &stopped)?;
    addresses.iter().for_each(|address| log::info!("listening on {address}"));
    ready(&addresses);

    end(&mut signals, &active, &connections, &stop, process.shutdown).await;
    drop((healer, tasks, harmless, admin, view));
    access.flush(LAST_LINES);
    telemetry::log::flush(LAST_LINES);
    Ok(())
}

fn open_access_log(spec: &AccessLogSpec, metrics: &Metrics) -> Result<AccessLogger, RunError> {
    AccessLogger::start(spec, metrics.log_lines_dropped("access")).map_err(|cause| match &spec.file {
        Some(path) => RunError::AccessLog { path: path.clone(), cause },
        None => cause.into(),
    })
}

/// What goes on beside requests: certificates are read again, memory is given back, and what needs an operator is told.
fn background(
    process: &ProcessSpec,
    alerts: Alerts,
    snapshots: &Arc<SnapshotCell>,
    access: &Arc<AccessLogger>,
    certificates: &[Arc<Certificates>],
) -> Vec<OwnedTask> {
    let watch = AlertWatch {
        alerts,
        snapshots: Arc::clone(snapshots),
        access: Arc::clone(access),
        certificates: certificates.to_vec(),
        folders: written_folders(process),
    };
    let mut tasks: Vec<_> = certificates.iter().map(|one| OwnedTask::spawn(Arc::clone(one).watch())).collect();
    tasks.extend([OwnedTask::spawn(watch.run()), OwnedTask::spawn(memory::give_back())]);
    tasks
}

/// Where this process writes files, and the system's own disk.
fn written_folders(process: &ProcessSpec) -> Vec<PathBuf> {
    let access = process.log.access.file.as_deref().and_then(Path::parent).map(Path::to_path_buf);
    journal_folder(&process.journal).into_iter().chain(access).chain([PathBuf::from("/")]).collect()
}

/// Where heals are written down. An edge that cannot write them serves all the same, and says so.
fn open_journal(file: &JournalFile, alerts: &Alerts) -> Journal {
    let journal = journal_path(file).map_or_else(Journal::default, |path| {
        Journal::in_file(path).unwrap_or_else(|error| {
            if *file != JournalFile::Auto || error.kind() != io::ErrorKind::NotFound {
                let cause = format!("{error}; heals are kept in memory until a restart");
                alerts.begin(&Alert::CannotWrite { what: journal_name(path), cause });
            }
            Journal::default()
        })
    });
    journal.tell(alerts.clone());
    journal
}

/// Where reloads are kept: beside the journal.
fn open_history(file: &JournalFile) -> Arc<History> {
    let journal =
        journal_path(file).filter(|journal| *file != JournalFile::Auto || journal.parent().is_some_and(Path::is_dir));
    Arc::new(journal.map_or_else(History::default, |journal| History::in_file(History::beside(journal), journal)))
}

/// Starts healing, unless the file says there is no Docker.
fn start_healer(docker: &DockerSpec, world: LiveWorld, journal: &Arc<Journal>) -> Option<Healer> {
    let driver: Arc<dyn ContainerDriver> = match docker {
        DockerSpec::Off => return None,
        DockerSpec::Sidecar(spec) => Arc::new(Sidecar::at(spec.path.clone())),
        DockerSpec::Auto | DockerSpec::Socket(_) => Arc::new(Docker::connect(docker)),
    };
    Some(Healer::start(HealTools {
        world: Arc::new(world),
        driver,
        journal: Arc::clone(journal),
        at_work: AtWork::default(),
    }))
}

/// Waits for a signal and ends as it says: at once, or as soon as nothing is in flight.
async fn end(
    signals: &mut EndSignals,
    active: &Active,
    connections: &Active,
    stop: &watch::Sender<bool>,
    grace: Duration,
) {
    if signals.next().await == Ending::Fast {
        log::info!("stopping at once");
        return;
    }
    log::info!("draining {} requests (timeout {grace:?})", active.count());
    stop.send_replace(true);
    tokio::select! {
        () = drained(active, connections) => log::info!("drained"),
        () = tokio::time::sleep(grace) => log::warn!("stopping with {} requests in flight", active.count()),
        _ = signals.next() => log::warn!("stopping at once with {} requests in flight", active.count()),
    }
}

/// No request is left, and their last bytes are out: then clients were told, and connections end.
async fn drained(active: &Active, connections: &Active) {
    active.none().await;
    // One that does not end, such as that of a client who does not read, is not waited for.
    let _ = tokio::time::timeout(LAST_BYTES, connections.none()).await;
    active.none().await;
}

/// Where requests are counted and written down.
struct Clerk {
    access: Arc<AccessLogger>,
    active: Arc<Active>,
    metrics: Arc<Metrics>,
}

/// One per core of this machine, where the file does not say how many.
fn worker_threads(threads: Threads) -> usize {
    match threads {
        Threads::Auto => thread::available_parallelism().map_or(1, NonZeroUsize::get).clamp(1, THREADS_MAX),
        Threads::Count(count) => count,
    }
}

/// What all workers share: both lanes, and who may come in.
fn lanes(
    process: &ProcessSpec,
    threads: usize,
    snapshots: &Arc<SnapshotCell>,
    clerk: &Clerk,
    connections: &Arc<Active>,
    stopped: &watch::Receiver<bool>,
) -> front::WorkerShared {
    let Clerk { access, active, metrics } = clerk;
    let memory = Arc::new(Semaphore::new(BODIES_KIB));
    let relay = relay::RelayShared {
        limits: process.limits.clone(),
        access: Arc::clone(access),
        active: Arc::clone(active),
        unrouted: metrics.unrouted(),
        metrics: Arc::clone(metrics),
        pipes: relay::PIPES / threads.max(1),
        memory: Arc::clone(&memory),
    };
    let (snapshots, pace) = (Arc::clone(snapshots), process.limits.pace());
    let edge = Edge::new(
        Arc::clone(&snapshots),
        pace,
        Arc::clone(active),
        Arc::clone(access),
        Arc::clone(metrics),
        memory,
        stopped.clone(),
    );
    front::WorkerShared {
        snapshots,
        relay,
        edge,
        lane: process.lane,
        guard: Guard::new(&process.limits),
        connections: Arc::clone(connections),
    }
}
