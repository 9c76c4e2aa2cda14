//! Server-sent events: small ones, ten a second to each client, each written at once. An event says when it was written.

use std::cell::Cell;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval_at};

/// How an event starts; the time it was written follows, as 16 hexadecimal digits.
pub const EVENT_START: &[u8] = b"data: ";
/// Bytes of an event.
const EVENT_BYTES: usize = 64;
/// Between the events of a client.
const EVERY: Duration = Duration::from_millis(100);

thread_local! {
    /// Clients so far; each has its events at a time of its own.
    static CLIENTS: Cell<u64> = const { Cell::new(0) };
}

/// Nanoseconds since 1970.
pub fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// An event that was written at `ns`.
pub fn event(ns: u64) -> String {
    let start = format!("data: {ns:016x} ");
    format!("{start:x<width$}\n\n", width = EVENT_BYTES - 2)
}

/// Writes events until the client has left.
pub async fn write(stream: &mut TcpStream) -> io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let client = CLIENTS.replace(CLIENTS.get() + 1);
    let offset = Duration::from_millis(client * 37 % 100);
    let mut ticks = interval_at(tokio::time::Instant::now() + offset, EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let chunk = format!("{EVENT_BYTES:x}\r\n{}\r\n", event(now_ns()));
        stream.write_all(chunk.as_bytes()).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_as_long_as_it_says() {
        assert_eq!(event(now_ns()).len(), EVENT_BYTES);
        assert!(event(7).as_bytes().starts_with(EVENT_START));
    }
}
