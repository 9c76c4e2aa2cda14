//! The backend of every scenario: as little work per request as possible, so that the proxy's core is the bottleneck.
//!
//! The last segment of the path says what is answered: `200b`, `10k`, `100k`, `10m`, `upload` (reads the body), `head`
//! (the request head as it came, to see what a proxy sends), `fields-6` and `fields-12` (200 bytes after a head with so many
//! fields), `auth` (lets a request pass), `events` (never ends), `ws` (echoes messages). Anything else is 404.

mod answer;
mod events;

use std::io;
use std::net::Ipv4Addr;

use futures_util::{SinkExt, StreamExt};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

#[cfg(test)]
pub use events::event;
pub use events::{EVENT_START, now_ns};

use answer::Answer;

/// Room for a request head, and for what is read of a body at a time.
const BUFFER_BYTES: usize = 64 * 1024;

/// Listens on `count` ports of an address from `first` on, until the process is ended.
pub fn run(address: Ipv4Addr, first: u16, count: u16) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        for port in first..first + count {
            let listener = TcpListener::bind((address, port)).await?;
            tokio::task::spawn_local(accept(listener));
        }
        println!("ready");
        std::future::pending().await
    })
}

async fn accept(listener: TcpListener) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            // A connection that breaks concerns its client, which counts it.
            tokio::task::spawn_local(async move { drop(serve(stream).await) });
        }
    }
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut filled = 0;
    loop {
        let end = loop {
            if let Some(at) = memmem::find(&buffer[..filled], b"\r\n\r\n") {
                break at + 4;
            }
            let read = stream.read(&mut buffer[filled..]).await?;
            if read == 0 {
                return Ok(());
            }
            filled += read;
        };
        let last = last_segment(&buffer[..end]);
        if last == b"ws" {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            return echo(stream, &head).await;
        }
        if last == b"events" {
            return events::write(&mut stream).await;
        }
        let answer = Answer::of(last, &buffer[..end]);
        // Proxies write it in lower case or as RFC 9112 does.
        let last_one = memmem::find(&buffer[..end], b"onnection: close").is_some();
        let rest = if buffer.starts_with(b"GET ") {
            buffer.copy_within(end..filled, 0);
            filled - end
        } else {
            read_body(&mut stream, &mut buffer, end, filled).await?;
            0
        };
        filled = rest;
        answer.write(&mut stream).await?;
        if last_one {
            return stream.shutdown().await;
        }
    }
}

fn last_segment(head: &[u8]) -> &[u8] {
    let path = head.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
    let path = path.split(|&byte| byte == b'?').next().unwrap_or_default();
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

/// The value of a field whose name is given in lower case.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, v)| v.trim())
}

/// Reads a request's body and forgets it.
async fn read_body(stream: &mut TcpStream, buffer: &mut [u8], end: usize, filled: usize) -> io::Result<()> {
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut read = filled - end;
    if let Some(length) = field(&head, "content-length").and_then(|value| value.parse::<usize>().ok()) {
        while read < length {
            match stream.read(buffer).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => read += more,
            }
        }
    } else if field(&head, "transfer-encoding").is_some() {
        buffer.copy_within(end..filled, 0);
        while !buffer[..read].ends_with(b"0\r\n\r\n") {
            // The last bytes stay in front, for an end that comes in two pieces.
            let keep = read.min(4);
            buffer.copy_within(read - keep..read, 0);
            match stream.read(&mut buffer[keep..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => read = keep + more,
            }
        }
    }
    Ok(())
}

/// Answers a WebSocket's handshake and sends every message back.
async fn echo(mut stream: TcpStream, head: &str) -> io::Result<()> {
    let key = field(head, "sec-websocket-key").ok_or(io::ErrorKind::InvalidData)?;
    let accept = derive_accept_key(key.as_bytes());
    let switch = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(switch.as_bytes()).await?;
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        if message.is_close() || socket.send(message).await.is_err() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_segment_says_what_is_asked() {
        let rows: [(&[u8], &[u8]); 3] = [
            (b"GET /api/200b HTTP/1.1\r\n\r\n", b"200b"),
            (b"GET /r/77/10k?x=/y HTTP/1.1\r\n\r\n", b"10k"),
            (b"GET / HTTP/1.1\r\n\r\n", b""),
        ];
        for (head, last) in rows {
            assert_eq!(last_segment(head), last);
        }
    }
}
