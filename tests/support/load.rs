//! A client, and a steady load: so many requests a second whatever comes back. Says who served, and who did not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// How long a client waits, as the clients in the tables of other proxies do.
pub const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    /// A header's value; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Status and body as an error's text, unless it is a success.
    pub fn well(self) -> Self {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.body);
        self
    }
}

/// What is asked: a request with a whole body.
pub type Question = Request<Full<Bytes>>;

/// A request to a server, with `Content-Type: application/json` where it has a body.
pub fn question(method: Method, to: SocketAddr, path: &str, body: &str) -> Question {
    let kind = (!body.is_empty()).then_some(("content-type", "application/json"));
    let request = kind.into_iter().fold(Request::builder(), |request, (name, value)| request.header(name, value));
    let body = Full::new(Bytes::from(body.to_owned()));
    request.method(method).uri(format!("http://{to}{path}")).body(body).unwrap()
}

/// Connections that are kept.
#[derive(Clone)]
pub struct Client(legacy::Client<HttpConnector, Full<Bytes>>);

impl Client {
    pub fn new() -> Self {
        Self(legacy::Client::builder(TokioExecutor::new()).pool_max_idle_per_host(64).build_http())
    }

    /// The answer, if it comes within `limit`.
    pub async fn ask(&self, question: Question, limit: Duration) -> Result<Answer, String> {
        let exchange = async {
            let (head, body) = self.0.request(question).await.map_err(|error| error.to_string())?.into_parts();
            let bytes = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
            let body = String::from_utf8_lossy(&bytes).into_owned();
            Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
        };
        tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_| Err("no answer in time".into()))
    }
}

/// One request without a body, on a connection of its own.
pub async fn once(method: Method, to: SocketAddr, path: &str, limit: Duration) -> Result<Answer, String> {
    Client::new().ask(question(method, to, path, ""), limit).await
}

/// One request on a connection of its own.
pub async fn send(method: Method, to: SocketAddr, path: &str, body: &str) -> Result<Answer, String> {
    Client::new().ask(question(method, to, path, body), CLIENT_TIMEOUT).await
}

/// One GET on a connection of its own.
pub async fn get(to: SocketAddr, path: &str) -> Result<Answer, String> {
    send(Method::GET, to, path, "").await
}

/// One request of a load.
struct Sample {
    sent: Instant,
    took: Duration,
    /// `X-Served-By`, or what went wrong.
    outcome: Result<String, String>,
}

/// A load under way.
pub struct Load {
    start: Instant,
    stop: Arc<Notify>,
    task: JoinHandle<()>,
    samples: Arc<Mutex<Vec<Sample>>>,
}

/// What came of a load.
pub struct Outcome {
    start: Instant,
    samples: Vec<Sample>,
}

impl Load {
    /// GETs of one path at a rate until it is ended.
    pub fn start(to: SocketAddr, path: &str, per_second: u32) -> Self {
        let path = path.to_owned();
        Self::of(per_second, move |_| question(Method::GET, to, &path, ""))
    }

    /// Requests of any kind at a rate until it is ended; `next` is told how many there were before. Any status below 400 is
    /// a success.
    pub fn of(per_second: u32, next: impl Fn(usize) -> Question + Send + 'static) -> Self {
        let (samples, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()));
        let (sink, stopped) = (Arc::clone(&samples), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let (client, mut under_way, mut count) = (Client::new(), JoinSet::new(), 0);
            let mut clock = tokio::time::interval(Duration::from_secs(1) / per_second);
            loop {
                tokio::select! {
                    () = stopped.notified() => break,
                    _ = clock.tick() => {
                        let (sink, client, question) = (Arc::clone(&sink), client.clone(), next(count));
                        count += 1;
                        under_way.spawn(async move {
                            let sent = Instant::now();
                            let outcome = match client.ask(question, CLIENT_TIMEOUT).await {
                                Ok(answer) if answer.status < 400 => Ok(answer.header("x-served-by").to_owned()),
                                Ok(answer) => Err(answer.status.to_string()),
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
    pub async fn end(mut self) -> Outcome {
        self.stop.notify_one();
        (&mut self.task).await.unwrap();
        let mut samples = std::mem::take(&mut *self.samples.lock().unwrap());
        samples.sort_by_key(|sample| sample.sent);
        Outcome { start: self.start, samples }
    }
}

/// No load outlives the test that failed under it.
impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sample {
    /// A failure, or an answer slower than a second.
    fn is_harm(&self) -> bool {
        self.outcome.is_err() || Duration::from_secs(1) < self.took
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

    /// How long the quickest so many of 100 requests took that were sent between two moments, however they ended.
    pub fn percentile(&self, share: usize, from: Instant, to: Instant) -> Duration {
        let meant = self.samples.iter().filter(|one| from <= one.sent && one.sent <= to);
        let mut times: Vec<_> = meant.map(|one| one.took).collect();
        times.sort();
        times.get((times.len() * share / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    /// How long the quickest 99 of 100 failures took, and the slowest.
    pub fn failures_took(&self) -> (Duration, Duration) {
        let mut times: Vec<_> = self.samples.iter().filter(|one| one.outcome.is_err()).map(|one| one.took).collect();
        times.sort();
        let at = |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1)));
        (at(99).copied().unwrap_or_default(), at(100).copied().unwrap_or_default())
    }

    /// From the load's start to the first request that was harmed.
    pub fn first_harm(&self) -> Option<Duration> {
        self.samples.iter().find(|sample| sample.is_harm()).map(|sample| sample.sent.duration_since(self.start))
    }

    /// From `since` to the last request that was harmed.
    pub fn last_harm(&self, since: Instant) -> Option<Duration> {
        let last = self.samples.iter().rev().find(|sample| sample.is_harm());
        last.map(|sample| sample.sent.saturating_duration_since(since))
    }

    /// When the load began.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// When somebody answered again after the longest silence that began after `since`, or for the first time; any server if
    /// `who` is empty.
    pub fn serves_again(&self, who: &str, since: Instant) -> Option<Duration> {
        let is_his = |sample: &&Sample| sample.outcome.as_ref().is_ok_and(|served| who.is_empty() || served == who);
        let mut answered: Vec<Instant> =
            self.samples.iter().filter(is_his).map(|sample| sample.sent + sample.took).collect();
        answered.sort();
        let after = answered.partition_point(|at| *at < since);
        if after == 0 {
            return answered.first().map(|first| first.saturating_duration_since(since));
        }
        let times = answered.get(after.saturating_sub(1)..)?;
        let longest = times.windows(2).max_by_key(|pair| pair[1] - pair[0])?;
        Some(longest[1].saturating_duration_since(since))
    }

    /// Who served, and how often.
    pub fn servers(&self) -> BTreeMap<&str, usize> {
        let mut servers = BTreeMap::new();
        for served in self.samples.iter().filter_map(|sample| sample.outcome.as_deref().ok()) {
            *servers.entry(served).or_default() += 1;
        }
        servers
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

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = |time: Option<Duration>| time.map_or("-".to_owned(), |time| format!("{:.1}", time.as_secs_f64()));
        write!(
            f,
            "{} sent, {} failed, {} slower than 1 s, harm from {} s to {} s {}",
            self.sent(),
            self.failed(),
            self.slower_than(Duration::from_secs(1)),
            seconds(self.first_harm()),
            seconds(self.last_harm(self.start)),
            self.failures()
        )
    }
}
