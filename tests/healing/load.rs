//! A steady load: so many requests a second whatever comes back. Says who served, and who did not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// How long a client waits, as the clients in the tables of other proxies do.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);

type Caller = Client<HttpConnector, Full<Bytes>>;

/// Status and `X-Served-By`, or what went wrong.
async fn ask(client: &Caller, method: Method, url: &str, limit: Duration) -> Result<(u16, String), String> {
    let request = Request::builder().method(method).uri(url).body(Full::new(Bytes::new())).unwrap();
    let exchange = async {
        let (head, body) = client.request(request).await.map_err(|error| error.to_string())?.into_parts();
        body.collect().await.map_err(|error| error.to_string())?;
        let served = head.headers.get("x-served-by").and_then(|value| value.to_str().ok()).unwrap_or_default();
        Ok((head.status.as_u16(), served.to_owned()))
    };
    tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_| Err("no answer in time".into()))
}

fn client() -> Caller {
    Client::builder(TokioExecutor::new()).pool_max_idle_per_host(64).build_http()
}

/// One request on a connection of its own.
pub async fn once(method: Method, to: SocketAddr, path: &str, limit: Duration) -> Result<(u16, String), String> {
    ask(&client(), method, &format!("http://{to}{path}"), limit).await
}

/// One request of a load.
struct Sample {
    sent: Instant,
    took: Duration,
    outcome: Result<String, String>,
}

/// A load under way.
pub struct Load {
    start: Instant,
    stop: Arc<Notify>,
    task: JoinHandle<()>,
    samples: Arc<Mutex<Vec<Sample>>>,
}

/// What came of a load. Times are seconds since the moment it is asked about.
pub struct Outcome {
    start: Instant,
    samples: Vec<Sample>,
}

impl Load {
    /// GETs at a rate until it is ended.
    pub fn start(to: SocketAddr, path: &str, per_second: u32) -> Self {
        let (samples, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()));
        let (sink, stopped, url) = (Arc::clone(&samples), Arc::clone(&stop), format!("http://{to}{path}"));
        let task = tokio::spawn(async move {
            let (client, mut under_way) = (client(), JoinSet::new());
            let mut clock = tokio::time::interval(Duration::from_secs(1) / per_second);
            loop {
                tokio::select! {
                    () = stopped.notified() => break,
                    _ = clock.tick() => {
                        let (sink, url, client) = (Arc::clone(&sink), url.clone(), client.clone());
                        under_way.spawn(async move {
                            let sent = Instant::now();
                            let outcome = match ask(&client, Method::GET, &url, CLIENT_TIMEOUT).await {
                                Ok((status, served)) if status < 400 => Ok(served),
                                Ok((status, _)) => Err(status.to_string()),
                                Err(error) => Err(error),
                            };
                            sink.lock().unwrap().push(Sample { sent, took: sent.elapsed(), outcome });
                        });
                    }
                    Some(_) = under_way.join_next() => {}
                }
            }
            while under_way.join_next().await.is_some() {}
        });
        Self { start: Instant::now(), stop, task, samples }
    }

    /// Stops, and waits for what is under way.
    pub async fn end(self) -> Outcome {
        self.stop.notify_one();
        self.task.await.unwrap();
        let mut samples = std::mem::take(&mut *self.samples.lock().unwrap());
        samples.sort_by_key(|sample| sample.sent);
        Outcome { start: self.start, samples }
    }
}

impl Outcome {
    pub fn sent(&self) -> usize {
        self.samples.len()
    }

    pub fn rate(&self) -> f64 {
        let end = self.samples.last().map_or(self.start, |sample| sample.sent);
        self.samples.len() as f64 / end.duration_since(self.start).as_secs_f64().max(0.001)
    }

    pub fn failed(&self) -> usize {
        self.samples.iter().filter(|sample| sample.outcome.is_err()).count()
    }

    /// Answered, but slower than this.
    pub fn slower_than(&self, limit: Duration) -> usize {
        self.samples.iter().filter(|sample| sample.outcome.is_ok() && limit < sample.took).count()
    }

    /// The last request sent that failed or took more than a second.
    pub fn last_harm(&self, since: Instant) -> Option<Duration> {
        let harmed = |sample: &&Sample| sample.outcome.is_err() || Duration::from_secs(1) < sample.took;
        self.samples.iter().rev().find(harmed).map(|sample| sample.sent.saturating_duration_since(since))
    }

    /// When somebody answered again after the longest silence that began after `since`; any server if `who` is empty.
    pub fn serves_again(&self, who: &str, since: Instant) -> Option<Duration> {
        let is_his = |sample: &&Sample| sample.outcome.as_ref().is_ok_and(|served| who.is_empty() || served == who);
        let mut answered: Vec<Instant> =
            self.samples.iter().filter(is_his).map(|sample| sample.sent + sample.took).collect();
        answered.sort();
        let after = answered.partition_point(|at| *at < since);
        let times = answered.get(after.saturating_sub(1)..)?;
        let longest = times.windows(2).max_by_key(|pair| pair[1] - pair[0])?;
        Some(longest[1].saturating_duration_since(since))
    }

    /// Kinds of failure and how many of each.
    pub fn failures(&self) -> String {
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for error in self.samples.iter().filter_map(|sample| sample.outcome.as_ref().err()) {
            *kinds.entry(error).or_default() += 1;
        }
        kinds.iter().map(|(kind, count)| format!("{count} x {kind}")).collect::<Vec<_>>().join(", ")
    }
}
