//! Origins: real HTTP servers whose behaviour a test decides, and which remember what they were asked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

/// One request as the origin saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A server that answers its name, or what the test says. `/health` is counted apart.
pub struct Origin {
    pub address: SocketAddr,
    state: Arc<State>,
    tasks: Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

#[derive(Default)]
struct State {
    name: String,
    status: AtomicU16,
    health: AtomicU16,
    delay_ms: AtomicUsize,
    hang: AtomicBool,
    seen: Mutex<Vec<Seen>>,
    probes: AtomicUsize,
    extra: Mutex<Vec<(&'static str, String)>>,
    connections: Mutex<Vec<tokio::task::AbortHandle>>,
}

impl Origin {
    /// A well server that answers 200 with its name.
    pub async fn named(name: &str) -> Self {
        Self::at(name, "127.0.0.1:0".parse().unwrap()).await
    }

    /// The same at a fixed address, for one that comes back.
    pub async fn at(name: &str, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { name: name.into(), ..State::default() });
        state.status.store(200, Ordering::Relaxed);
        state.health.store(200, Ordering::Relaxed);
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, tasks: Mutex::new(vec![accepting]) }
    }

    /// `"127.0.0.1:1234"`, quoted for YAML.
    pub fn server(&self) -> String {
        format!("\"{}\"", self.address)
    }

    pub fn answer_with(&self, status: u16) {
        self.state.status.store(status, Ordering::Relaxed);
    }

    pub fn answer_probes_with(&self, status: u16) {
        self.state.health.store(status, Ordering::Relaxed);
    }

    pub fn answer_after(&self, delay: Duration) {
        self.state.delay_ms.store(usize::try_from(delay.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// Accepts but never answers.
    pub fn hang(&self, hang: bool) {
        self.state.hang.store(hang, Ordering::Relaxed);
    }

    pub fn answer_header(&self, name: &'static str, value: &str) {
        self.state.extra.lock().unwrap().push((name, value.into()));
    }

    /// Requests so far, without probes.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.state.seen.lock().unwrap().len()
    }

    pub fn probes(&self) -> usize {
        self.state.probes.load(Ordering::Relaxed)
    }

    /// Stops listening and resets every connection, as a killed process.
    pub fn kill(&self) {
        for task in self.tasks.lock().unwrap().drain(..) {
            task.abort();
        }
        for connection in self.state.connections.lock().unwrap().drain(..) {
            connection.abort();
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        stream.set_nodelay(true).unwrap();
        let shared = Arc::clone(&state);
        let service = service_fn(move |request| {
            let state = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(answer(request, &state).await) }
        });
        let serve = async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        };
        state.connections.lock().unwrap().push(tokio::spawn(serve).abort_handle());
    }
}

async fn answer(request: Request<Incoming>, state: &State) -> Response<Full<Bytes>> {
    if state.hang.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
    let is_probe = request.uri().path() == "/health";
    let status = if is_probe {
        state.probes.fetch_add(1, Ordering::Relaxed);
        &state.health
    } else {
        &state.status
    };
    let status = status.load(Ordering::Relaxed);
    if !is_probe {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        state.seen.lock().unwrap().push(Seen {
            method: head.method.to_string(),
            target: head.uri.to_string(),
            headers: head.headers,
            body,
        });
        tokio::time::sleep(Duration::from_millis(state.delay_ms.load(Ordering::Relaxed) as u64)).await;
    }
    let mut response = Response::builder().status(status);
    for (name, value) in state.extra.lock().unwrap().iter() {
        response = response.header(*name, value);
    }
    response.body(Full::new(Bytes::from(state.name.clone()))).unwrap()
}
