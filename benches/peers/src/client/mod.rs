//! Loads that no common tool makes, and the first request to a proxy. Each runs as a process of its own and prints one
//! line, `requests=N errors=N seconds=N`, and what else it measured.

mod connections;
mod events;
mod handshakes;
mod posts;
mod tls;
mod websocket;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long one request may take.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// What a load did.
#[derive(Debug, Default)]
struct Count {
    requests: u64,
    errors: u64,
}

impl Count {
    fn print(&self, took: Duration) {
        println!("requests={} errors={} seconds={:.4}", self.requests, self.errors, took.as_secs_f64());
    }
}

/// Runs the load `kind` against a local port. `count` is how many connections it has.
pub fn run(kind: &str, port: u16, seconds: u64, count: usize) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let duration = Duration::from_secs(seconds);
    let start = Instant::now();
    let until = start + duration;
    let count = match kind {
        "connections" => return runtime.block_on(connections::run(port, duration, count)),
        "events" => return runtime.block_on(events::run(port, duration, count)),
        "posts" => {
            runtime.block_on(posts::run(port, duration, count));
            return Ok(());
        }
        "handshakes" => runtime.block_on(handshakes::run(port, until, count)),
        "websocket" => runtime.block_on(websocket::run(port, until, count)),
        _ => bail!("there is no load `{kind}`"),
    };
    count.print(start.elapsed());
    Ok(())
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

async fn connect(port: u16) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks once, on a connection of its own that is closed after the answer; returns status and body.
async fn ask(stream: &mut dyn Io, path: &str) -> anyhow::Result<(u16, String)> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    // Some servers end TLS without saying so; what came before counts.
    let ended = stream.read_to_end(&mut answer).await;
    if answer.is_empty() {
        ended?;
    }
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    Ok((status, body.to_owned()))
}

/// One request of the harness itself, to see that a proxy is ready and what it sends to its backend.
pub fn first_request(port: u16, with_tls: bool, path: &str) -> anyhow::Result<(u16, String)> {
    let asking = async {
        let mut stream = connect(port).await?;
        if with_tls { ask(&mut tls::connect(stream).await?, path).await } else { ask(&mut stream, path).await }
    };
    runtime()?.block_on(async { tokio::time::timeout(REQUEST_WITHIN, asking).await? })
}
