//! A connection to the edge, byte by byte, for what a well-behaved client would not send. Every wait has a deadline.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;

use super::PATIENCE;
use super::frames::PREFACE;
use super::secure::{handshake, secured};

/// A connection to the edge, as the suite runs.
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// Refused before the handshake was done: nothing comes.
    Refused(tokio::io::Empty),
}

impl Stream {
    async fn to(address: SocketAddr, socket: TcpSocket, protocol: &str) -> Self {
        let (to, is_tls) = secured(address).map_or((address, false), |secured| (secured, true));
        let stream = within("a connection", PATIENCE, socket.connect(to)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        if is_tls {
            within("a handshake", PATIENCE, handshake(stream, protocol))
                .await
                .map_or_else(|_| Self::Refused(tokio::io::empty()), |stream| Self::Tls(Box::new(stream)))
        } else {
            Self::Plain(stream)
        }
    }

    fn ends(&mut self) -> &mut (dyn Ends + '_) {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream,
            Self::Refused(nothing) => nothing,
        }
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
            Self::Refused(_) => panic!("there is no connection"),
        }
    }
}

/// Both directions.
trait Ends: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Ends for T {}

/// A client's connection.
pub struct Wire {
    stream: Stream,
    unread: Vec<u8>,
}

/// One answer: its head with line ends, and its body without framing.
#[derive(Debug, Clone)]
pub struct WireAnswer {
    pub head: String,
    pub body: Vec<u8>,
    /// False when the connection ended before the answer did.
    pub whole: bool,
}

impl WireAnswer {
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|code| code.get(..3)?.parse().ok()).unwrap_or(0)
    }

    /// The value of a field; empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        let is_it = |line: &&str| line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name));
        self.head.lines().find(is_it).map_or("", |line| line.split_once(':').unwrap().1.trim())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Waits for what must happen within `limit`.
///
/// # Panics
/// When it does not.
pub async fn within<T>(what: &str, limit: Duration, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => panic!("waited {limit:?} for {what}"),
    }
}

impl Wire {
    pub async fn to(address: SocketAddr) -> Self {
        Self::over(address, TcpSocket::new_v4().unwrap(), "http/1.1").await
    }

    async fn over(address: SocketAddr, socket: TcpSocket, protocol: &str) -> Self {
        Self { stream: Stream::to(address, socket, protocol).await, unread: Vec::new() }
    }

    /// A connection whose receive window is as small as the kernel allows.
    pub async fn with_a_tiny_window(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(1).unwrap();
        Self::over(address, socket, "http/1.1").await
    }

    /// A connection that has sent these bytes.
    pub async fn saying(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Self {
        let protocol = if bytes.as_ref().starts_with(PREFACE) { "h2" } else { "http/1.1" };
        let mut wire = Self::over(address, TcpSocket::new_v4().unwrap(), protocol).await;
        wire.send(bytes).await;
        wire
    }

    /// Sends bytes. Returns false when the other side does not take them any more.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let stream = self.stream.ends();
        let taken = async {
            stream.write_all(bytes.as_ref()).await?;
            stream.flush().await
        };
        within("bytes to be taken", PATIENCE, taken).await.is_ok()
    }

    /// Ends our half of the connection; answers still arrive.
    pub async fn half_close(&mut self) {
        let _ = within("a half-close", PATIENCE, self.stream.ends().shutdown()).await;
    }

    /// Resets the connection, as a killed process or an impatient phone does.
    pub fn reset(self) {
        self.stream.tcp().set_zero_linger().unwrap();
    }

    /// Reads more bytes; false at the end of the connection, however it ended.
    async fn more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        let read = within("an answer", PATIENCE, self.stream.ends().read(&mut buffer)).await.unwrap_or(0);
        self.unread.extend_from_slice(&buffer[..read]);
        read != 0
    }

    /// Waits for a byte or the end of the connection; false when neither comes within `patience`.
    pub async fn says_something(&mut self, patience: Duration) -> bool {
        !self.unread.is_empty() || tokio::time::timeout(patience, self.more()).await.is_ok()
    }

    /// The next bytes, exactly so many; fewer when the connection ends.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count && self.more().await {}
        let rest = self.unread.split_off(count.min(self.unread.len()));
        std::mem::replace(&mut self.unread, rest)
    }

    /// Bytes up to and with an end; what there is when the connection ends.
    async fn through(&mut self, end: &[u8]) -> Vec<u8> {
        let mut from = 0;
        loop {
            if let Some(at) = self.unread[from..].windows(end.len()).position(|window| window == end) {
                return self.bytes(from + at + end.len()).await;
            }
            from = (self.unread.len() + 1).saturating_sub(end.len());
            if !self.more().await {
                return std::mem::take(&mut self.unread);
            }
        }
    }

    /// The head of the next answer, informational ones included; `None` when the connection ends first.
    pub async fn head(&mut self) -> Option<String> {
        let head = self.through(b"\r\n\r\n").await;
        head.ends_with(b"\r\n\r\n").then(|| String::from_utf8_lossy(&head).into_owned())
    }

    /// The next final answer to a request that was no HEAD; `None` when the connection ends before its head does.
    pub async fn try_answer(&mut self) -> Option<WireAnswer> {
        let mut answer = loop {
            let answer = WireAnswer { head: self.head().await?, body: Vec::new(), whole: true };
            if answer.status() == 101 || 200 <= answer.status() {
                break answer;
            }
        };
        if matches!(answer.status(), 101 | 204 | 304) {
            return Some(answer);
        }
        if answer.header("transfer-encoding").eq_ignore_ascii_case("chunked") {
            (answer.body, answer.whole) = self.chunks().await;
        } else if let Ok(length) = answer.header("content-length").parse() {
            answer.body = self.bytes(length).await;
            answer.whole = answer.body.len() == length;
        } else {
            answer.body = self.rest().await;
        }
        Some(answer)
    }

    /// The next final answer.
    pub async fn answer(&mut self) -> WireAnswer {
        self.try_answer().await.unwrap_or_else(|| panic!("closed without an answer"))
    }

    async fn chunks(&mut self) -> (Vec<u8>, bool) {
        let mut body = Vec::new();
        loop {
            let line = self.through(b"\r\n").await;
            let text = String::from_utf8_lossy(&line);
            let Ok(size) = usize::from_str_radix(text.trim_end().split(';').next().unwrap(), 16) else {
                return (body, false);
            };
            if size == 0 {
                while !matches!(self.through(b"\r\n").await.as_slice(), b"\r\n" | b"") {}
                return (body, true);
            }
            let chunk = self.bytes(size + 2).await;
            let whole = chunk.len() == size + 2;
            body.extend_from_slice(&chunk[..size.min(chunk.len())]);
            if !whole {
                return (body, false);
            }
        }
    }

    /// Everything until the other side closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.unread)
    }

    /// Everything until the other side closes, as text.
    pub async fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.rest().await).into_owned()
    }

    /// Waits until something has come, or the other side has closed.
    pub async fn first_byte(&mut self) {
        if self.unread.is_empty() {
            within("an answer", PATIENCE, self.more()).await;
        }
    }

    /// Everything until the other side closes or has been silent for `silence`; true when it closed.
    pub async fn until_silent(&mut self, silence: Duration) -> (String, bool) {
        loop {
            match tokio::time::timeout(silence, self.more()).await {
                Ok(true) => {}
                ended => {
                    return (String::from_utf8_lossy(&std::mem::take(&mut self.unread)).into_owned(), ended.is_ok());
                }
            }
        }
    }
}
