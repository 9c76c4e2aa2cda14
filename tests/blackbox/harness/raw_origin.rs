//! An origin that keeps every byte it was sent and answers as a test says. It believes whatever it reads, as the naive
//! servers do that smuggled requests are meant for: any line end, any chunk size, a second request behind the first.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};

use super::PATIENCE;

/// A plain answer that keeps the connection.
pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One request as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRequest {
    /// With its line ends.
    pub head: String,
    /// Without framing.
    pub body: Vec<u8>,
    /// What came behind the last chunk, with its line ends.
    pub trailers: String,
    /// Which connection it came on, from 0.
    pub connection: usize,
}

impl RawRequest {
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or("")
    }

    /// Every value of a field.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(found, _)| found.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }
}

#[derive(Default)]
struct Connection {
    bytes: Vec<u8>,
    requests: Vec<RawRequest>,
    ended: bool,
}

type Record = Arc<Mutex<Vec<Connection>>>;

/// A listener whose every connection runs a test's script.
pub struct RawOrigin {
    pub address: SocketAddr,
    record: Record,
    accepting: JoinHandle<()>,
    scripts: Arc<Mutex<Vec<AbortHandle>>>,
}

/// The origin's end of one connection.
pub struct Peer {
    stream: TcpStream,
    record: Record,
    index: usize,
    unread: Vec<u8>,
}

impl RawOrigin {
    /// Runs `script` for each connection. When it returns, the connection is closed.
    pub async fn serving<F, S>(script: F) -> Self
    where
        F: Fn(Peer) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        Self::serving_at(0, script).await
    }

    /// The same on a port of loopback, for one that comes up late.
    pub async fn serving_at<F, S>(port: u16, script: F) -> Self
    where
        F: Fn(Peer) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (record, scripts) = (Record::default(), Arc::new(Mutex::new(Vec::new())));
        let (kept, running) = (Arc::clone(&record), Arc::clone(&scripts));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let index = {
                    let mut connections = kept.lock().unwrap();
                    connections.push(Connection::default());
                    connections.len() - 1
                };
                let peer = Peer { stream, record: Arc::clone(&kept), index, unread: Vec::new() };
                running.lock().unwrap().push(tokio::spawn(script(peer)).abort_handle());
            }
        });
        Self { address, record, accepting, scripts }
    }

    /// Answers every request with these bytes and keeps the connection.
    pub async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::serving(move |mut peer| {
            let answer = Arc::clone(&answer);
            async move {
                while peer.request().await.is_some() {
                    peer.send(&answer).await;
                }
            }
        })
        .await
    }

    /// Answers one request on each connection with these bytes and closes.
    pub async fn answering_once(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::serving(move |mut peer| {
            let answer = Arc::clone(&answer);
            async move {
                if peer.request().await.is_some() {
                    peer.send(&answer).await;
                }
            }
        })
        .await
    }

    /// `"127.0.0.1:1234"`, quoted for YAML.
    pub fn server(&self) -> String {
        format!("\"{}\"", self.address)
    }

    /// Whole requests so far, over all connections.
    pub fn requests(&self) -> Vec<RawRequest> {
        self.record.lock().unwrap().iter().flat_map(|connection| connection.requests.clone()).collect()
    }

    /// Every byte so far, by connection.
    pub fn bytes(&self) -> Vec<Vec<u8>> {
        self.record.lock().unwrap().iter().map(|connection| connection.bytes.clone()).collect()
    }

    /// Every byte so far as text, all connections one behind the other.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes().concat()).into_owned()
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.record.lock().unwrap().len()
    }

    /// Connections that have not ended.
    pub fn open(&self) -> usize {
        self.record.lock().unwrap().iter().filter(|connection| !connection.ended).count()
    }

    /// Forgets what was read so far. Connections that are open keep their place.
    pub fn forget(&self) {
        for connection in self.record.lock().unwrap().iter_mut() {
            connection.bytes.clear();
            connection.requests.clear();
        }
    }

    /// Stops listening and ends every connection.
    pub fn kill(&self) {
        self.accepting.abort();
        for script in self.scripts.lock().unwrap().drain(..) {
            script.abort();
        }
    }
}

impl Drop for RawOrigin {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Peer {
    async fn more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        let read = self.stream.read(&mut buffer).await.unwrap_or(0);
        self.unread.extend_from_slice(&buffer[..read]);
        self.record.lock().unwrap()[self.index].bytes.extend_from_slice(&buffer[..read]);
        read != 0
    }

    /// A line with its end, or `None` when the connection ends before it does.
    async fn line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.unread.iter().position(|byte| *byte == b'\n') {
                let rest = self.unread.split_off(at + 1);
                return Some(std::mem::replace(&mut self.unread, rest));
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.unread.len() < count {
            if !self.more().await {
                return None;
            }
        }
        let rest = self.unread.split_off(count);
        Some(std::mem::replace(&mut self.unread, rest))
    }

    /// Lines up to and with an empty one. Empty lines before the first are left out, as RFC 9112 2.2 allows.
    async fn block(&mut self, is_head: bool) -> Option<String> {
        let mut block = Vec::new();
        loop {
            let line = self.line().await?;
            let is_empty = line.trim_ascii().is_empty();
            if is_empty && is_head && block.is_empty() {
                continue;
            }
            block.extend_from_slice(&line);
            if is_empty {
                return Some(String::from_utf8_lossy(&block).into_owned());
            }
        }
    }

    /// The head of the next request; it does not count as one until its body has been read.
    pub async fn head(&mut self) -> Option<RawRequest> {
        let head = self.block(true).await?;
        Some(RawRequest { head, body: Vec::new(), trailers: String::new(), connection: self.index })
    }

    /// The next whole request; `None` when the connection ends before it does.
    pub async fn request(&mut self) -> Option<RawRequest> {
        let mut request = self.head().await?;
        let is_chunked =
            request.values("transfer-encoding").iter().any(|value| value.to_ascii_lowercase().contains("chunked"));
        if is_chunked {
            (request.body, request.trailers) = self.chunks().await?;
        } else if let Some(length) = request.values("content-length").first() {
            let digits: String = length.trim_start_matches('+').chars().take_while(char::is_ascii_digit).collect();
            request.body = self.exactly(digits.parse().unwrap_or(0)).await?;
        }
        self.record.lock().unwrap()[self.index].requests.push(request.clone());
        Some(request)
    }

    async fn chunks(&mut self) -> Option<(Vec<u8>, String)> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let text = String::from_utf8_lossy(&line).trim().trim_start_matches("0x").to_owned();
            let digits: String = text.chars().take_while(char::is_ascii_hexdigit).collect();
            let size = usize::from_str_radix(&digits, 16).unwrap_or(0);
            if size == 0 {
                return Some((body, self.block(false).await?));
            }
            body.extend(self.exactly(size).await?);
            self.line().await?;
        }
    }

    /// Sends bytes. Returns false when the edge does not take them any more.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        matches!(tokio::time::timeout(PATIENCE, self.stream.write_all(bytes.as_ref())).await, Ok(Ok(())))
    }

    /// What comes next, whatever it is; `None` when the edge closes.
    pub async fn some(&mut self) -> Option<Vec<u8>> {
        let is_more = !self.unread.is_empty() || self.more().await;
        is_more.then(|| std::mem::take(&mut self.unread))
    }

    /// Reads on until the edge closes.
    pub async fn drain(&mut self) {
        while self.more().await {}
        self.unread.clear();
    }

    /// Sends bytes one by one with a pause between, until they are out or the edge closes.
    pub async fn dribble(&mut self, bytes: impl AsRef<[u8]>, pause: Duration) {
        for byte in bytes.as_ref() {
            tokio::time::sleep(pause).await;
            if !self.send([*byte]).await {
                return;
            }
        }
    }

    /// Resets the connection, as a killed process does.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.record.lock().unwrap()[self.index].ended = true;
    }
}
