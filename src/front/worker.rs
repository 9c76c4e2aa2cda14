//! Workers: one thread, one event loop, one set of connections each. The first accepts, and hands each connection to
//! the worker that has the fewest.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pingora::server::configuration::ServerConf;
use pingora_proxy::HttpProxy;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};

use crate::config::model::{LaneChoice, LimitsSpec};
use crate::http1::{HeadLimits, RequestHead};
use crate::proxy::Edge;
use crate::relay::{self, Relay};
use crate::snapshot::{Snapshot, SnapshotCell};
use crate::telemetry::{AccessLogger, Limiter};
use crate::types::{Active, ByteSize, spawn_here};

use super::door;
use super::guard::{Admitted, Guard};
use super::tls::TlsAcceptor;

/// Idle connections of one worker's full lane to all backends; each is closed by its upstream's `timeouts.idle` long before.
const POOLED_CONNECTIONS: usize = 2048;
/// How long no connection is taken after the system had no file or memory for one.
const BREATH: Duration = Duration::from_millis(100);
/// Heads a worker keeps to be used again.
const HEADS_KEPT: usize = 64;

/// What all workers share.
#[derive(Clone)]
pub struct Shared {
    /// What is in force.
    pub snapshots: Arc<SnapshotCell>,
    /// The fast lane's part.
    pub relay: relay::Shared,
    /// The full lane.
    pub edge: Edge,
    /// Which lanes there are.
    pub lane: LaneChoice,
    /// Who may come in.
    pub guard: Arc<Guard>,
    /// Connections that are open.
    pub connections: Arc<Active>,
}

/// One listening socket.
pub struct Endpoint {
    pub(super) listener: TcpListener,
    pub(super) tls: Option<Arc<TlsAcceptor>>,
}

/// A connection on its way to its worker. As many may be under way as the guard admits.
struct Arrival {
    socket: std::net::TcpStream,
    peer: SocketAddr,
    endpoint: usize,
    admitted: Admitted,
}

/// One worker.
pub(super) struct Worker {
    pub shared: Shared,
    pub relay: Relay,
    pub full: Arc<HttpProxy<Edge>>,
    pub stopped: watch::Receiver<bool>,
    tls: Arc<[Option<Arc<TlsAcceptor>>]>,
    /// What a head may be.
    pub head_limits: HeadLimits,
    load: Arc<AtomicUsize>,
    pinned: RefCell<Option<Pinned>>,
    heads: RefCell<Vec<RequestHead>>,
}

/// A snapshot that a worker's requests share without touching what other workers count.
#[derive(Clone)]
pub(super) struct Pinned(Rc<(Arc<Snapshot>,)>);

impl Deref for Pinned {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0.0
    }
}

/// Where the first worker sends connections.
struct Desk {
    load: Arc<AtomicUsize>,
    arrivals: mpsc::UnboundedSender<Arrival>,
}

/// Starts the workers. They stop taking requests when `stopped` turns true, and end with the process.
///
/// # Errors
/// When the system gives no thread, no event loop, or a listener cannot be watched.
pub fn start(
    threads: usize,
    shared: &Shared,
    endpoints: Vec<Endpoint>,
    stopped: &watch::Receiver<bool>,
) -> io::Result<()> {
    let threads = threads.max(1);
    let (listeners, tls): (Vec<_>, Vec<_>) = endpoints.into_iter().map(|end| (end.listener, end.tls)).unzip();
    let tls: Arc<[_]> = tls.into();
    let (mut desks, mut inboxes) = (Vec::new(), Vec::new());
    for _ in 0..threads {
        let (arrivals, inbox) = mpsc::unbounded_channel();
        let load = Arc::new(AtomicUsize::new(0));
        inboxes.push((Arc::clone(&load), inbox));
        desks.push(Desk { load, arrivals });
    }
    let mut reception = Some(Reception { listeners, desks });
    let (started, starts) = std::sync::mpsc::channel();
    // The one that takes connections last: clients may take every file there is.
    for (index, (load, inbox)) in inboxes.into_iter().enumerate().rev() {
        // The full lane here and not in the worker: it reads the system's certificates, and there may be no file later.
        let own = Own {
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
                Ok(runtime) => runtime.block_on(Worker::run(own, started)),
                // Whoever started it waits for this; when it has gone, the process ends.
                Err(error) => drop(started.send(Err(error))),
            }
        })?;
        starts.recv().unwrap_or(Ok(()))?;
    }
    Ok(())
}

/// What a worker is made of.
struct Own {
    shared: Shared,
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
    desks: Vec<Desk>,
}

/// Pingora's proxy, with connections of its own.
fn full_lane(edge: Edge) -> Arc<HttpProxy<Edge>> {
    let conf = ServerConf { upstream_keepalive_pool_size: POOLED_CONNECTIONS, ..ServerConf::default() };
    let mut full = HttpProxy::new(edge, Arc::new(conf));
    full.handle_init_modules();
    Arc::new(full)
}

impl Worker {
    async fn run(own: Own, started: std::sync::mpsc::Sender<io::Result<()>>) {
        let Own { shared, full, tls, stopped, load, mut inbox, reception } = own;
        let worker = Rc::new(Self {
            relay: Relay::new(shared.relay.clone()),
            full,
            stopped: stopped.clone(),
            tls,
            head_limits: head_limits(&shared.relay.limits),
            load,
            pinned: RefCell::new(None),
            heads: RefCell::default(),
            shared,
        });
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
        let _ = started.send(reception.map_or(Ok(()), |reception| worker.receive(reception)));
        drop(started);
        while let Some(arrival) = inbox.recv().await {
            worker.welcome(arrival);
        }
        // The desks are gone with the first worker's listeners; what is open goes on.
        std::future::pending::<()>().await;
    }

    /// Looks after what nobody waits for. True while there is something to look after.
    fn look(&self, now: Instant) -> bool {
        // Before it sleeps they go too; but a worker may have something to do for long.
        AccessLogger::submit_gathered();
        self.relay.pool.sweep(now);
        self.renew();
        if self.relay.clock.watched() == 0 {
            self.pinned.borrow_mut().take();
        }
        !self.relay.pool.is_empty()
    }

    /// Starts to take connections.
    fn receive(self: &Rc<Self>, reception: Reception) -> io::Result<()> {
        let desks: Rc<[Desk]> = reception.desks.into();
        for (index, listener) in reception.listeners.into_iter().enumerate() {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let (worker, desks) = (Rc::clone(self), Rc::clone(&desks));
            spawn_here(async move { worker.accept(&listener, index, &desks).await });
        }
        Ok(())
    }

    /// Takes connections until the process stops.
    async fn accept(self: &Rc<Self>, listener: &tokio::net::TcpListener, index: usize, desks: &[Desk]) {
        let mut stopped = self.stopped.clone();
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
                        log::error!("no connection can be taken: {error}; {more} more like it since the last line");
                    }
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
            };
            let client = peer.ip();
            let is_trusted = self.snapshot().forwarding.trusts(client);
            let admitted = match self.shared.guard.admit(client, is_trusted) {
                Ok(admitted) => admitted,
                Err(reason) => {
                    self.shared.relay.metrics.turned_away(reason);
                    if let Some(more) = troubles.admit() {
                        let (client, limit) = (client.to_canonical(), reason.as_str());
                        log::warn!("{client} turned away by limits.{limit}; {more} more like it since the last line");
                    }
                    continue;
                }
            };
            self.hand_over(socket, peer, index, admitted, desks);
        }
    }

    /// Gives a connection to the worker that has the fewest.
    fn hand_over(
        self: &Rc<Self>,
        socket: TcpStream,
        peer: SocketAddr,
        endpoint: usize,
        admitted: Admitted,
        desks: &[Desk],
    ) {
        let own = self.load.load(Ordering::Relaxed);
        let fewest = desks.iter().min_by_key(|desk| desk.load.load(Ordering::Relaxed));
        match fewest.filter(|desk| desk.load.load(Ordering::Relaxed) < own) {
            None => {
                self.load.fetch_add(1, Ordering::Relaxed);
                self.open(socket, peer, endpoint, admitted);
            }
            Some(desk) => {
                let Ok(socket) = socket.into_std() else { return };
                desk.load.fetch_add(1, Ordering::Relaxed);
                if desk.arrivals.send(Arrival { socket, peer, endpoint, admitted }).is_err() {
                    desk.load.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
    }

    fn welcome(self: &Rc<Self>, arrival: Arrival) {
        match TcpStream::from_std(arrival.socket) {
            Ok(socket) => self.open(socket, arrival.peer, arrival.endpoint, arrival.admitted),
            Err(_) => drop(self.load.fetch_sub(1, Ordering::Relaxed)),
        }
    }

    fn open(self: &Rc<Self>, socket: TcpStream, peer: SocketAddr, endpoint: usize, admitted: Admitted) {
        let worker = Rc::clone(self);
        spawn_here(async move {
            let _load = Load(Rc::clone(&worker));
            let tls = worker.tls.get(endpoint).and_then(Option::as_deref);
            door::serve(&worker, socket, peer, tls, admitted).await;
        });
    }

    pub fn limits(&self) -> &LimitsSpec {
        &self.shared.relay.limits
    }

    /// What is in force. Take it once per request and keep it.
    pub fn snapshot(&self) -> Pinned {
        self.renew();
        let mut pinned = self.pinned.borrow_mut();
        pinned.get_or_insert_with(|| Pinned(Rc::new((self.shared.snapshots.current(),)))).clone()
    }

    /// Lets go of a snapshot that is no longer in force.
    fn renew(&self) {
        let mut pinned = self.pinned.borrow_mut();
        if pinned.as_ref().is_some_and(|pinned| !self.shared.snapshots.is_current(&pinned.0.0)) {
            *pinned = None;
        }
    }

    /// Memory for a head.
    pub fn take_head(&self) -> RequestHead {
        self.heads.borrow_mut().pop().unwrap_or_default()
    }

    /// The same, to be used again.
    pub fn give_head(&self, head: RequestHead) {
        let mut heads = self.heads.borrow_mut();
        if heads.len() < HEADS_KEPT {
            heads.push(head);
        }
    }
}

fn head_limits(limits: &LimitsSpec) -> HeadLimits {
    let bytes = |size: ByteSize| usize::try_from(size.0).unwrap_or(usize::MAX);
    HeadLimits { size: bytes(limits.header_size), fields: limits.headers, target: bytes(limits.uri) }
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
