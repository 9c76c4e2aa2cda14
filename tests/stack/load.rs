//! A steady load: so many requests a second whatever comes back, each on its own.

use std::error::Error;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::task::{JoinHandle, JoinSet};

use crate::stack::port;

/// How long a client waits, as the clients in the tables of other proxies do.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);

type Failure = Box<dyn Error + Send + Sync>;

/// A whole answer.
pub struct Answer {
    pub status: StatusCode,
    pub body: String,
}

fn client() -> &'static legacy::Client<HttpConnector, Full<Bytes>> {
    static CLIENT: OnceLock<legacy::Client<HttpConnector, Full<Bytes>>> = OnceLock::new();
    CLIENT.get_or_init(|| legacy::Client::builder(TokioExecutor::new()).build_http())
}

pub async fn send(method: Method, path: &str, body: &str) -> Result<Answer, Failure> {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://127.0.0.1:{}{path}", port()))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_owned())))?;
    let exchange = async {
        let answer = client().request(request).await?;
        let (head, body) = answer.into_parts();
        let bytes = body.collect().await?.to_bytes();
        Ok::<_, Failure>(Answer { status: head.status, body: String::from_utf8_lossy(&bytes).into() })
    };
    tokio::time::timeout(CLIENT_TIMEOUT, exchange).await?
}

pub async fn get(path: &str) -> Result<Answer, Failure> {
    send(Method::GET, path, "").await
}

/// One request of a load.
struct Sample {
    sent: Instant,
    took: Duration,
    failure: Option<String>,
}

/// A load under way.
pub struct Load {
    start: Instant,
    stop: Arc<tokio::sync::Notify>,
    task: JoinHandle<()>,
    samples: Arc<Mutex<Vec<Sample>>>,
}

/// What came of a load.
#[derive(Debug)]
pub struct Outcome {
    pub sent: usize,
    pub failed: usize,
    pub slow: usize,
    pub first_harm: Option<Duration>,
    pub last_harm: Option<Duration>,
    pub failures: Vec<String>,
}

impl Load {
    /// Sends GETs at a rate until it is stopped.
    pub fn start(path: &'static str, per_second: u32) -> Self {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(tokio::sync::Notify::new());
        let (sink, stopped) = (Arc::clone(&samples), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let mut under_way = JoinSet::new();
            let mut clock = tokio::time::interval(Duration::from_secs(1) / per_second);
            loop {
                tokio::select! {
                    _ = stopped.notified() => break,
                    _ = clock.tick() => {
                        let sink = Arc::clone(&sink);
                        under_way.spawn(async move {
                            let sent = Instant::now();
                            let answer = get(path).await;
                            let failure = match answer {
                                Ok(answer) if answer.status.is_success() => None,
                                Ok(answer) => Some(answer.status.to_string()),
                                Err(error) => Some(error.to_string()),
                            };
                            sink.lock().unwrap().push(Sample { sent, took: sent.elapsed(), failure });
                        });
                    }
                    Some(_) = under_way.join_next() => {}
                }
            }
            while under_way.join_next().await.is_some() {}
        });
        Self { start: Instant::now(), stop, task, samples }
    }

    /// Stops, waits for what is under way and sums up. Harm is a failure or an answer slower than a second.
    pub async fn end(self) -> Outcome {
        self.stop.notify_one();
        self.task.await.unwrap();
        let mut samples = self.samples.lock().unwrap();
        samples.sort_by_key(|sample| sample.sent);
        let is_slow = |sample: &&Sample| sample.failure.is_none() && Duration::from_secs(1) < sample.took;
        let harmed: Vec<_> = samples.iter().filter(|sample| sample.failure.is_some() || is_slow(sample)).collect();
        let at = |sample: &&Sample| sample.sent.duration_since(self.start);
        Outcome {
            sent: samples.len(),
            failed: samples.iter().filter(|sample| sample.failure.is_some()).count(),
            slow: samples.iter().filter(is_slow).count(),
            first_harm: harmed.first().map(at),
            last_harm: harmed.last().map(at),
            failures: samples.iter().filter_map(|sample| sample.failure.clone()).take(5).collect(),
        }
    }
}
