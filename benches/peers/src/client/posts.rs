//! Small POSTs on connections that stay open, and GETs beside them on as many of their own, counted second by second: what
//! runs out over a minute, such as ports towards a backend, shows in the last seconds.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Count, REQUEST_WITHIN, connect};

/// Bytes of a POST's body.
const BODY_BYTES: usize = 200;
/// Seconds of a window at either end.
const WINDOW: usize = 10;
/// How long a client waits after a failure, as one would; else failures would use up the clients' own ports.
const PAUSE: Duration = Duration::from_millis(10);

/// Answers of each second, and failures.
#[derive(Default)]
struct Tally {
    seconds: Vec<u64>,
    errors: u64,
}

/// Runs until `duration` has passed, and prints what came of it.
pub async fn run(port: u16, duration: Duration, count: usize) {
    let start = Instant::now();
    let kind = |request: String| {
        let request = request.into_bytes();
        async move {
            let tally = RefCell::new(Tally::default());
            join_all((0..count).map(|_| client(port, &request, start, duration, &tally))).await;
            tally.into_inner()
        }
    };
    let fields = "Host: localhost\r\nUser-Agent: bench\r\n";
    let post = format!(
        "POST /api/200b HTTP/1.1\r\n{fields}Content-Type: application/json\r\nContent-Length: {BODY_BYTES}\r\n\r\n{}",
        "x".repeat(BODY_BYTES)
    );
    let (posts, gets) = join(kind(post), kind(format!("GET /api/200b HTTP/1.1\r\n{fields}\r\n"))).await;
    let requests = posts.seconds.iter().chain(&gets.seconds).sum();
    Count { requests, errors: posts.errors + gets.errors }.print(start.elapsed());
    let whole = usize::try_from(duration.as_secs()).unwrap_or(usize::MAX);
    for (name, tally) in [("post", posts), ("get", gets)] {
        let (first, last) = windows(&tally.seconds, whole);
        println!("{name}_first={first:.1} {name}_last={last:.1}");
    }
}

/// Answers a second in the first and in the last window of `whole` seconds.
fn windows(seconds: &[u64], whole: usize) -> (f64, f64) {
    let window = WINDOW.min(whole).max(1);
    let rate = |from: usize| seconds.iter().skip(from).take(window).sum::<u64>() as f64 / window as f64;
    (rate(0), rate(whole.saturating_sub(window)))
}

async fn client(port: u16, request: &[u8], start: Instant, duration: Duration, tally: &RefCell<Tally>) {
    let mut kept = None;
    while start.elapsed() < duration {
        let once = tokio::time::timeout(REQUEST_WITHIN, exchange(port, request, &mut kept)).await;
        if let Ok(Ok(())) = once {
            let second = usize::try_from(start.elapsed().as_secs()).unwrap_or(usize::MAX);
            let seconds = &mut tally.borrow_mut().seconds;
            if seconds.len() <= second {
                seconds.resize(second + 1, 0);
            }
            seconds[second] += 1;
        } else {
            kept = None;
            tally.borrow_mut().errors += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// One request on the kept connection, or on a new one.
async fn exchange(port: u16, request: &[u8], kept: &mut Option<TcpStream>) -> anyhow::Result<()> {
    if kept.is_none() {
        *kept = Some(connect(port).await?);
    }
    let Some(stream) = kept else { anyhow::bail!("no connection") };
    stream.write_all(request).await?;
    let mut buffer = [0; 4096];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        anyhow::ensure!(read != 0, "closed");
        filled += read;
        let Some(end) = memmem::find(&buffer[..filled], b"\r\n\r\n") else { continue };
        anyhow::ensure!(buffer.starts_with(b"HTTP/1.1 200"), "not 200");
        // As in `connections`: every answer is 200 bytes.
        if filled == end + 4 + 200 {
            // A proxy may end a connection after so many requests, and says so.
            if buffer[..end].windows(17).any(|field| field.eq_ignore_ascii_case(b"connection: close")) {
                *kept = None;
            }
            return Ok(());
        }
        anyhow::ensure!(filled < end + 4 + 200, "more than the answer");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_run_are_told_apart() {
        let seconds: Vec<u64> = (0..30).map(|second| if second < 15 { 100 } else { 10 }).collect();
        assert_eq!(windows(&seconds, 30), (100.0, 10.0));
        assert_eq!(windows(&seconds[..20], 30), (100.0, 0.0), "silence at the end counts");
        assert_eq!(windows(&[7], 1), (7.0, 7.0));
    }
}
