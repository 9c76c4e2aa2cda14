//! The sample servers themselves.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::types::OwnedTask;

const PAGE: &str = include_str!("page.html");
/// How long a replica stays sick when the request does not say.
const SICK_DEFAULT: Duration = Duration::from_secs(10);

/// The running sample servers; they stop when this is dropped.
pub struct Replicas {
    /// The page's server.
    pub page: SocketAddr,
    /// The API's replicas.
    pub api: Vec<SocketAddr>,
    _tasks: Vec<OwnedTask>,
}

/// Starts a page and two API replicas on free ports of loopback.
///
/// # Errors
/// When no port can be had.
pub async fn start() -> io::Result<Replicas> {
    let page = TcpListener::bind("127.0.0.1:0").await?;
    let mut replicas = Replicas { page: page.local_addr()?, api: Vec::new(), _tasks: Vec::new() };
    replicas._tasks.push(serve(page, Sample::new("page")));
    for name in ["api-1", "api-2"] {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        replicas.api.push(listener.local_addr()?);
        replicas._tasks.push(serve(listener, Sample::new(name)));
    }
    Ok(replicas)
}

/// One sample server's state.
struct Sample {
    name: &'static str,
    sick_until: Mutex<Option<Instant>>,
}

impl Sample {
    fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self { name, sick_until: Mutex::new(None) })
    }

    fn is_sick(&self) -> bool {
        self.sick_until.lock().is_some_and(|until| Instant::now() < until)
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let seconds = request.uri().query().and_then(|query| query.strip_prefix("seconds=")?.parse::<u64>().ok());
        match (request.method(), request.uri().path()) {
            (_, "/health") if self.is_sick() => json(StatusCode::INTERNAL_SERVER_ERROR, r#"{"status":"sick"}"#),
            (_, "/health") => json(StatusCode::OK, r#"{"status":"ok"}"#),
            (&Method::POST, "/api/sick") => {
                let length = seconds.map_or(SICK_DEFAULT, |seconds| Duration::from_secs(seconds.min(3600)));
                *self.sick_until.lock() = Some(Instant::now() + length);
                let name = self.name;
                json(StatusCode::OK, &format!(r#"{{"replica":"{name}","sick_for_seconds":{}}}"#, length.as_secs()))
            }
            (_, path) if path.starts_with("/api") => {
                let name = self.name;
                json(StatusCode::OK, &format!(r#"{{"replica":"{name}","sick":{}}}"#, self.is_sick()))
            }
            (&Method::GET | &Method::HEAD, "/") => reply(StatusCode::OK, "text/html; charset=utf-8", PAGE.into()),
            _ => reply(StatusCode::NOT_FOUND, "text/plain", "not found\n".into()),
        }
    }
}

fn json(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    reply(status, "application/json", format!("{body}\n").into())
}

fn reply(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

fn serve(listener: TcpListener, sample: Arc<Sample>) -> OwnedTask {
    OwnedTask::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    // Small answers must not wait for the client's acknowledgement.
                    let _ = stream.set_nodelay(true);
                    let sample = Arc::clone(&sample);
                    let service = service_fn(move |request| {
                        let answer = sample.answer(&request);
                        async move { Ok::<_, Infallible>(answer) }
                    });
                    connections.spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
                }
                Some(_) = connections.join_next() => {}
            }
        }
    })
}
