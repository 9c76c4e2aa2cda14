//! Clients of an answer that never ends, whose events are counted and timed. All connect before anything counts.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use memchr::memmem;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{Count, REQUEST_WITHIN, connect};
use crate::origin::EVENT_START;

/// How many connect at a time.
const OPENERS: usize = 64;
/// Hexadecimal digits of the time an event was written.
const TIME_DIGITS: usize = 16;

/// What all clients saw since counting began.
#[derive(Default)]
struct Tally {
    counting: Cell<bool>,
    count: RefCell<Count>,
    /// Nanoseconds from the origin's write to the client's read.
    delays: RefCell<Vec<u64>>,
}

/// Prints `ready`, waits for a line, counts for `duration` and prints what came; then it keeps the connections until its
/// standard input ends.
pub async fn run(port: u16, duration: Duration, count: usize) -> anyhow::Result<()> {
    let shares = (0..OPENERS).map(|opener| count / OPENERS + usize::from(opener < count % OPENERS));
    let opened = join_all(shares.map(|share| open(port, share))).await;
    let streams: Vec<Vec<TcpStream>> = opened.into_iter().collect::<anyhow::Result<_>>()?;
    let tally = Tally::default();
    let reading = async {
        join_all(streams.into_iter().flatten().map(|stream| read(stream, &tally))).await;
        pending::<()>().await;
    };
    tokio::select! {
        () = reading => Ok(()),
        told = conduct(&tally, duration) => told,
    }
}

/// Does what the harness says, while the clients read.
async fn conduct(tally: &Tally, duration: Duration) -> anyhow::Result<()> {
    println!("ready");
    let mut commands = BufReader::new(tokio::io::stdin());
    commands.read_line(&mut String::new()).await?;
    let start = Instant::now();
    tally.counting.set(true);
    tokio::time::sleep(duration).await;
    tally.counting.set(false);
    let took = start.elapsed();
    let mut delays = tally.delays.take();
    delays.sort_unstable();
    let at = |thousandth: usize| delays.get(delays.len() * thousandth / 1000).map_or(0.0, |&delay| delay as f64 / 1e6);
    let count = tally.count.take();
    let (requests, errors, seconds) = (count.requests, count.errors, took.as_secs_f64());
    // In one line, which is all that the harness reads before it takes its own readings.
    println!(
        "requests={requests} errors={errors} seconds={seconds:.4} p50={:.4} p99={:.4} p999={:.4}",
        at(500),
        at(990),
        at(999)
    );
    commands.read_line(&mut String::new()).await?;
    Ok(())
}

async fn open(port: u16, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = connect(port).await?;
        let request = b"GET /api/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
        stream.write_all(request).await?;
        let mut start = [0; 12];
        tokio::time::timeout(REQUEST_WITHIN, stream.read_exact(&mut start)).await??;
        anyhow::ensure!(start.starts_with(b"HTTP/1.1 200"), "not 200");
        streams.push(stream);
    }
    Ok(streams)
}

/// Reads events until the connection ends, which is a failure.
async fn read(mut stream: TcpStream, tally: &Tally) {
    let mut buffer = [0; 2048];
    let mut filled = 0;
    loop {
        match stream.read(&mut buffer[filled..]).await {
            Ok(read) if read != 0 => filled += read,
            _ => break,
        }
        let kept = take_events(&buffer[..filled], tally);
        buffer.copy_within(kept..filled, 0);
        filled -= kept;
    }
    tally.count.borrow_mut().errors += 1;
}

/// Counts the events that are there; returns where what is left of the bytes begins.
fn take_events(bytes: &[u8], tally: &Tally) -> usize {
    let mut kept = bytes.len().saturating_sub(EVENT_START.len() - 1);
    let mut from = 0;
    while let Some(at) = memmem::find(&bytes[from..], EVENT_START) {
        let digits = from + at + EVENT_START.len();
        let Some(time) = bytes.get(digits..digits + TIME_DIGITS) else { return from + at };
        from = digits + TIME_DIGITS;
        kept = kept.max(from);
        let written = std::str::from_utf8(time).ok().and_then(|time| u64::from_str_radix(time, 16).ok());
        match written {
            _ if !tally.counting.get() => {}
            Some(written) => {
                tally.count.borrow_mut().requests += 1;
                tally.delays.borrow_mut().push(crate::origin::now_ns().saturating_sub(written));
            }
            None => tally.count.borrow_mut().errors += 1,
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_wherever_the_bytes_are_cut() {
        let stream = format!("\r\n40\r\n{}\r\n40\r\n{}", crate::origin::event(1), crate::origin::event(2));
        for cut in 0..stream.len() {
            let tally = Tally::default();
            tally.counting.set(true);
            let (first, second) = stream.as_bytes().split_at(cut);
            let kept = take_events(first, &tally);
            take_events(&[&first[kept..], second].concat(), &tally);
            assert_eq!(tally.count.borrow().requests, 2, "cut at {cut}");
            assert_eq!(tally.count.borrow().errors, 0, "cut at {cut}");
        }
    }
}
