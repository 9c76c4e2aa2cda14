//! The composition root: builds every part, starts it in order, and ends it in order. Reads like a list.

mod publish;
mod signals;
mod ward;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora::apps::HttpServerOptions;
use pingora::listeners::ListenerConfig;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::server::configuration::ServerConf;
use pingora::services::Service as _;
use pingora::services::listening::Service;
use pingora_proxy::HttpProxy;
use tokio::sync::watch;

use crate::config::model::{Config, ProcessSpec};
use crate::front::{self, BindError};
use crate::proxy::{Active, Edge, EdgeSettings};
use crate::snapshot::{Snapshot, SnapshotCell};
use crate::telemetry::{self, AccessLogger, Metrics};
use crate::types::OwnedTask;
use crate::upstream::{SystemResolver, UpstreamTools};

use signals::{EndSignals, Ending};

/// Buffers of one client connection, bytes: a read large enough for a usual head, a write of one segment.
const CONNECTION_BUFFERS: L4BufferSettings = L4BufferSettings { read: Some(4096), write: Some(1460) };
/// Idle connections to all backends together; each is closed by its upstream's `timeouts.idle` long before.
const POOLED_CONNECTIONS: usize = 2048;
/// How long the start waits for the first probes.
const FIRST_PROBES: Duration = Duration::from_millis(1500);
/// How long the end waits for logs to be written.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Why the edge did not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A listener cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Two metrics have the same name.
    #[error("the metrics cannot be set up")]
    Metrics(#[source] prometheus::Error),
    /// The system refused threads or signal handlers.
    #[error("the runtime cannot start")]
    Runtime(#[source] std::io::Error),
}

/// Runs an edge until a signal ends it.
///
/// # Errors
/// When it cannot start; nothing listens then.
pub fn run(config: Config) -> Result<(), RunError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(config.process.threads).enable_all().build().map_err(RunError::Runtime)?;
    let ended = runtime.block_on(serve(config));
    // What is left are connections of clients who were told, or a second signal's haste.
    runtime.shutdown_background();
    ended
}

async fn serve(config: Config) -> Result<(), RunError> {
    let mut signals = EndSignals::install().map_err(RunError::Runtime)?;
    let Config { process, site } = config;
    let bound = front::bind(&process.listen)?;
    let addresses = bound.addresses();
    let metrics = Metrics::new().map_err(RunError::Metrics)?;
    let tools = UpstreamTools {
        resolver: Arc::new(SystemResolver),
        metrics: Arc::clone(&metrics),
        changed: Arc::new(watch::Sender::new(0)),
    };
    let first = Snapshot::start(1, site, None, &tools);
    first.ready(FIRST_PROBES).await;
    let snapshots = Arc::new(SnapshotCell::new(first));
    let active = Arc::new(Active::default());
    let dropped = metrics.log_lines_dropped("access");
    let access = Arc::new(AccessLogger::start(process.log.access, dropped).map_err(RunError::Runtime)?);
    let edge =
        Edge::new(Arc::clone(&snapshots), settings(&process), Arc::clone(&active), Arc::clone(&access), &metrics);
    let (stop, stopped) = watch::channel(false);
    let mut service = edge_service(edge, &process, &addresses);
    let fds = bound.into_fds();
    let serving = OwnedTask::spawn(async move { service.start_service(Some(fds), stopped, 1).await });
    for address in &addresses {
        log::info!("listening on {address}");
    }
    end(&mut signals, &active, &stop, process.shutdown).await;
    drop(serving);
    access.flush(LAST_LINES);
    telemetry::log::flush(LAST_LINES);
    Ok(())
}

/// Waits for a signal and ends as it says: at once, or as soon as nothing is in flight.
async fn end(signals: &mut EndSignals, active: &Active, stop: &watch::Sender<bool>, grace: Duration) {
    if signals.next().await == Ending::Fast {
        log::info!("ending at once");
        return;
    }
    log::info!("draining: {} in flight, {grace:?} at most", active.count());
    stop.send_replace(true);
    tokio::select! {
        () = active.none() => log::info!("drained"),
        () = tokio::time::sleep(grace) => log::warn!("ending with {} in flight", active.count()),
        _ = signals.next() => log::warn!("ending at once with {} in flight", active.count()),
    }
}

fn settings(process: &ProcessSpec) -> EdgeSettings {
    EdgeSettings {
        keepalive: process.keepalive,
        client_timeout: process.client_timeout,
        body_limit: process.body_limit.0,
    }
}

fn edge_service(edge: Edge, process: &ProcessSpec, listen: &[SocketAddr]) -> Service<HttpProxy<Edge>> {
    let conf = ServerConf {
        threads: process.threads,
        upstream_keepalive_pool_size: POOLED_CONNECTIONS,
        ..ServerConf::default()
    };
    let mut proxy = HttpProxy::new(edge, Arc::new(conf));
    proxy.handle_init_modules();
    let mut options = HttpServerOptions::default();
    options.h2c = true;
    options.h2_idle_timeout = Some(process.keepalive);
    proxy.server_options = Some(options);
    let mut service = Service::new("edge".into(), proxy);
    for address in listen {
        service.endpoints().add_listener(ListenerConfig::tcp(address.to_string()).l4_buffer(CONNECTION_BUFFERS));
    }
    service
}
