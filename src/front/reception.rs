//! Starts the workers: one thread, one event loop, one set of connections each. The first accepts, and hands each connection
//! to the worker that has the fewest.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use pingora::server::configuration::ServerConf;
use pingora_proxy::HttpProxy;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};

use crate::proxy::Edge;
use crate::telemetry::{AccessLogger, Limiter};
use crate::types::spawn_here;

use super::door;
use super::guard::Admitted;
use super::listen::Endpoint;
use super::tls::TlsAcceptor;
use super::worker::{Worker, WorkerShared};

/// Idle connections of one worker's full lane to all backends; each is closed by its upstream's `timeouts.idle` long before.
const POOLED_CONNECTIONS: usize = 2048;
/// How long no connection is taken after the system had no file or memory for one.
const BREATH: Duration = Duration::from_millis(100);

/// A connection on its way to its worker. As many may be under way as the guard admits.
struct Arrival {
    socket: std::net::TcpStream,
    peer: SocketAddr,
    endpoint: usize,
    admitted: Admitted,
}

/// Where the first worker sends connections.
struct WorkerInbox {
    load: Arc<AtomicUsize>,
    arrivals: mpsc::UnboundedSender<Arrival>,
}

/// Starts the workers. They stop taking requests when `stopped` turns true, and end with the process.
///
/// # Errors
/// When the system gives no thread, no event loop, or a listener cannot be watched.
pub fn start(
    threads: usize,
    shared: &WorkerShared,
    endpoints: Vec<Endpoint>,
    stopped: &watch::Receiver<bool>,
) -> io::Result<()> {
    let threads = threads.max(1);
    let (listeners, tls): (Vec<_>, Vec<_>) = endpoints.into_iter().map(|end| (end.listener, end.tls)).unzip();
    let tls: Arc<[_]> = tls.into();
    let (mut workers, mut inboxes) = (Vec::new(), Vec::new());
    for _ in 0..threads {
        let (arrivals, inbox) = mpsc::unbounded_channel();
        let load = Arc::new(AtomicUsize::new(0));
        inboxes.push((Arc::clone(&load), inbox));
        workers.push(WorkerInbox { load, arrivals });
    }
    let mut reception = Some(Reception { listeners, workers });
    let (started, starts) = std::sync::mpsc::channel();
    // The one that takes connections last: clients may take every file there is.
    for (index, (load, inbox)) in inboxes.into_iter().enumerate().rev() {
        // The full lane here and not in the worker: it reads the system's certificates, and there may be no file later.
        let own = WorkerParts {
            full: full_lane(shared.edge.clone()),
            shared: shared.clone(),
            tls: Arc::clone(&tls),
            stopped: stopped.clone(),
            load,
            inbox,
            reception: if index == 0 { reception.take() } else { None },
        };
        let started = started.clone();
        thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            own.shared.relay.access.gather_here();
            let mut runtime = Builder::new_current_thread();
            // What a round of work wrote down is everyone's before the worker sleeps.
            runtime.enable_all().on_thread_park(AccessLogger::submit_gathered);
            match runtime.build_local(LocalOptions::default()) {
                Ok(runtime) => runtime.block_on(run(own, started)),
                // Whoever started it waits for this; when it has gone, the process ends.
                Err(error) => drop(started.send(Err(error))),
            }
        })?;
        starts.recv().unwrap_or(Ok(()))?;
    }
    Ok(())
}

/// What a worker is made of.
struct WorkerParts {
    shared: WorkerShared,
    full: Arc<HttpProxy<Edge>>,
    tls: Arc<[Option<Arc<TlsAcceptor>>]>,
    stopped: watch::Receiver<bool>,
    load: Arc<AtomicUsize>,
    inbox: mpsc::UnboundedReceiver<Arrival>,
    reception: Option<Reception>,
}

/// Where clients come in: the first worker has it. The sockets close when it takes no more.
struct Reception {
    listeners: Vec<TcpListener>,
    workers: Vec<WorkerInbox>,
}

/// Pingora's proxy, with connections of its own.
fn full_lane(edge: Edge) -> Arc<HttpProxy<Edge>> {
    let conf = ServerConf { upstream_keepalive_pool_size: POOLED_CONNECTIONS, ..ServerConf::default() };
    let mut full = HttpProxy::new(edge, Arc::new(conf));
    full.handle_init_modules();
    Arc::new(full)
}

/// One worker's thread, until the process ends.
async fn run(own: WorkerParts, started: std::sync::mpsc::Sender<io::Result<()>>) {
    let WorkerParts { shared, full, tls, stopped, load, mut inbox, reception } = own;
    let worker = Rc::new(Worker::new(shared, full, tls, load, stopped.clone()));
    let looking = Rc::clone(&worker);
    spawn_here(async move {
        let look = |now| looking.look(now);
        looking.relay.clock.run(look).await;
    });
    let ending = Rc::clone(&worker);
    let mut stopping = stopped;
    spawn_here(async move {
        // Also when the sender is gone: then the process ends.
        let _ = stopping.wait_for(|stopped| *stopped).await;
        ending.relay.clock.end();
    });
    // Whoever started it may have given up; then the process ends.
    let _ = started.send(reception.map_or(Ok(()), |reception| receive(&worker, reception)));
    drop(started);
    while let Some(arrival) = inbox.recv().await {
        welcome(&worker, arrival);
    }
    // The senders are gone with the first worker's listeners; what is open goes on.
    std::future::pending::<()>().await;
}

/// Starts to take connections.
fn receive(worker: &Rc<Worker>, reception: Reception) -> io::Result<()> {
    let workers: Rc<[WorkerInbox]> = reception.workers.into();
    for (index, listener) in reception.listeners.into_iter().enumerate() {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (worker, workers) = (Rc::clone(worker), Rc::clone(&workers));
        spawn_here(async move { accept(&worker, &listener, index, &workers).await });
    }
    Ok(())
}

/// Takes connections until the process stops.
async fn accept(worker: &Rc<Worker>, listener: &tokio::net::TcpListener, index: usize, workers: &[WorkerInbox]) {
    let mut stopped = worker.stopped.clone();
    let troubles = Limiter::default();
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_one_connections(&error) => continue,
            Err(error) => {
                if let Some(more) = troubles.admit() {
                    log::error!("cannot accept connections: {error}; {more} similar suppressed");
                }
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let client = peer.ip();
        let is_trusted = worker.snapshot().forwarding.trusts(client);
        let admitted = match worker.shared.guard.admit(client, is_trusted) {
            Ok(admitted) => admitted,
            Err(reason) => {
                worker.shared.relay.metrics.turned_away(reason);
                if let Some(more) = troubles.admit() {
                    let (client, limit) = (client.to_canonical(), reason.as_str());
                    log::warn!("{client} rejected (limits.{limit}); {more} similar suppressed");
                }
                continue;
            }
        };
        hand_over(worker, socket, peer, index, admitted, workers);
    }
}

/// Gives a connection to the worker that has the fewest.
fn hand_over(
    worker: &Rc<Worker>,
    socket: TcpStream,
    peer: SocketAddr,
    endpoint: usize,
    admitted: Admitted,
    workers: &[WorkerInbox],
) {
    let own = worker.load.load(Ordering::Relaxed);
    let fewest = workers.iter().min_by_key(|inbox| inbox.load.load(Ordering::Relaxed));
    match fewest.filter(|inbox| inbox.load.load(Ordering::Relaxed) < own) {
        None => {
            worker.load.fetch_add(1, Ordering::Relaxed);
            open(worker, socket, peer, endpoint, admitted);
        }
        Some(inbox) => {
            let Ok(socket) = socket.into_std() else { return };
            inbox.load.fetch_add(1, Ordering::Relaxed);
            if inbox.arrivals.send(Arrival { socket, peer, endpoint, admitted }).is_err() {
                inbox.load.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

fn welcome(worker: &Rc<Worker>, arrival: Arrival) {
    match TcpStream::from_std(arrival.socket) {
        Ok(socket) => open(worker, socket, arrival.peer, arrival.endpoint, arrival.admitted),
        Err(_) => drop(worker.load.fetch_sub(1, Ordering::Relaxed)),
    }
}

fn open(worker: &Rc<Worker>, socket: TcpStream, peer: SocketAddr, endpoint: usize, admitted: Admitted) {
    let worker = Rc::clone(worker);
    spawn_here(async move {
        let _load = Load(Rc::clone(&worker));
        let tls = worker.tls.get(endpoint).and_then(Option::as_deref);
        door::serve(&worker, socket, peer, endpoint, tls, admitted).await;
    });
}

/// A failure of one connection, and not of the system.
fn is_one_connections(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// One connection in its worker's count.
struct Load(Rc<Worker>);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Ordering::Relaxed);
    }
}
