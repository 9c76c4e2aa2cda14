//! Very many keepalive connections: opened, used once, and left idle until the harness says `go`; then a few requests
//! at a time walk over all of them.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use memchr::memmem;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{Count, REQUEST_WITHIN, connect};

/// Requests in flight.
const WALKERS: usize = 64;

/// Prints `ready`, waits for a line, does its work and prints what came of it; then it keeps the connections until its
/// standard input ends, so that closing them is no part of what is measured.
pub async fn run(port: u16, duration: Duration, count: usize) -> anyhow::Result<()> {
    let shares = (0..WALKERS).map(|walker| count / WALKERS + usize::from(walker < count % WALKERS));
    let opened = join_all(shares.map(|share| open(port, share))).await;
    let mut walkers: Vec<Vec<TcpStream>> = opened.into_iter().collect::<anyhow::Result<_>>()?;
    println!("ready");
    let mut commands = BufReader::new(tokio::io::stdin());
    commands.read_line(&mut String::new()).await?;
    let start = Instant::now();
    let counts = join_all(walkers.iter_mut().map(|streams| walk(streams, start + duration))).await;
    let requests = counts.iter().map(|count| count.requests).sum();
    let errors = counts.iter().map(|count| count.errors).sum();
    Count { requests, errors }.print(start.elapsed());
    commands.read_line(&mut String::new()).await?;
    Ok(())
}

async fn open(port: u16, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = connect(port).await?;
        get(&mut stream).await?;
        streams.push(stream);
    }
    Ok(streams)
}

async fn walk(streams: &mut Vec<TcpStream>, until: Instant) -> Count {
    let mut count = Count::default();
    let mut at = 0;
    while Instant::now() < until && !streams.is_empty() {
        at %= streams.len();
        match get(&mut streams[at]).await {
            Ok(()) => {
                count.requests += 1;
                at += 1;
            }
            Err(_) => {
                count.errors += 1;
                streams.swap_remove(at);
            }
        }
    }
    count
}

/// One request on a connection that stays open.
async fn get(stream: &mut TcpStream) -> anyhow::Result<()> {
    let exchange = async {
        stream.write_all(b"GET /api/200b HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
        let mut buffer = [0; 4096];
        let mut filled = 0;
        loop {
            let read = stream.read(&mut buffer[filled..]).await?;
            anyhow::ensure!(read != 0, "closed");
            filled += read;
            let Some(end) = memmem::find(&buffer[..filled], b"\r\n\r\n") else { continue };
            anyhow::ensure!(buffer.starts_with(b"HTTP/1.1 200"), "not 200");
            // Every answer of this load is 200 bytes, whatever its framing; chunks would need an end of their own.
            if filled == end + 4 + 200 {
                return Ok(());
            }
            anyhow::ensure!(filled < end + 4 + 200, "more than the answer");
        }
    };
    tokio::time::timeout(REQUEST_WITHIN, exchange).await?
}
