//! Whether a database answers, and not only the kernel in its stead: a process that is frozen still accepts connections.
//!
//! Nothing is logged in to. MySQL speaks first: its handshake, protocol version 9 or 10, or an error. PostgreSQL gets the
//! start-up message that `pg_isready` sends, for it says only then whether it takes anybody in; where it asks for a
//! password it has answered. Redis answers PING, if only by asking for one. `first_words` says what an error means.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::config::model::Protocol;

use super::connect::{is_ours, not_connected};
use super::failure::Failure;
use super::first_words::{of_mysql, of_postgres, of_redis};
use super::probe_result::{ProbeFailure, ProbeResult, ServerWords};

/// PostgreSQL's StartupMessage: its length, protocol 3.0, a user that need not exist, and the name it is to log.
const STARTUP: &[u8] = b"\0\0\0\x33\0\x03\0\0user\0remora\0application_name\0remora-check\0\0";
/// PostgreSQL's Terminate.
const TERMINATE: &[u8] = b"X\0\0\0\x04";
/// Longest message that is read of a database.
const MESSAGE_MAX: usize = 16 * 1024;
/// Longest error of MySQL and Redis.
const ERROR_MAX: usize = 512;

/// Connects and waits for a sign of life. `None` where the edge itself could not ask.
pub(super) async fn ask(address: SocketAddr, protocol: Protocol) -> Option<ProbeResult> {
    let mut stream = match TcpStream::connect(address).await {
        Ok(stream) => stream,
        Err(error) => {
            let (failure, is_to_blame) = not_connected(&error);
            return is_to_blame.then(|| Err(failure.into()));
        }
    };
    let answered = match protocol {
        Protocol::Mysql => mysql(&mut stream).await,
        Protocol::Postgres => postgres(&mut stream).await,
        Protocol::Redis => redis(&mut stream).await,
    };
    match answered {
        Ok(result) => Some(result),
        Err(error) if is_ours(&error) => None,
        Err(_) => Some(Err(Failure::Reset.into())),
    }
}

async fn mysql(stream: &mut TcpStream) -> io::Result<ProbeResult> {
    let mut start = [0; 5];
    stream.read_exact(&mut start).await?;
    let [low, middle, high, sequence, first] = start;
    match (sequence, first) {
        (0, 9 | 10) => Ok(Ok(None)),
        (0, 0xff) => {
            let length = u32::from_le_bytes([low, middle, high, 0]).saturating_sub(1);
            Ok(of_mysql(&up_to(stream, length as usize).await?))
        }
        _ => Ok(Err(ProbeFailure::Foreign(Protocol::Mysql))),
    }
}

async fn postgres(stream: &mut TcpStream) -> io::Result<ProbeResult> {
    // One that takes nobody in may have answered and closed already.
    let _ = stream.write_all(STARTUP).await;
    let mut logged_in = false;
    loop {
        let mut start = [0; 5];
        match stream.read_exact(&mut start).await {
            Err(_) if logged_in => return Ok(Ok(None)),
            read => read?,
        };
        let [kind, length @ ..] = start;
        let length = u32::from_be_bytes(length).saturating_sub(4) as usize;
        if kind == b'E' && MESSAGE_MAX < length {
            // As versions before 3.0 said it: a text at once. So a server that cannot fork still does.
            let rest = up_to(stream, ERROR_MAX).await?;
            let text = [&start[1..], &rest[..]].concat();
            let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
            return Ok(Err(ProbeFailure::Sick(ServerWords::of(text))));
        }
        if !kind.is_ascii_alphabetic() || MESSAGE_MAX < length {
            return Ok(Err(ProbeFailure::Foreign(Protocol::Postgres)));
        }
        let mut message = vec![0; length];
        stream.read_exact(&mut message).await?;
        match kind {
            b'E' => return Ok(of_postgres(&message, logged_in)),
            b'R' if message.iter().all(|&byte| byte == 0) => logged_in = true,
            b'R' => return Ok(Ok(None)),
            b'Z' => {
                // Said politely it leaves no line in the server's log.
                let _ = stream.write_all(TERMINATE).await;
                return Ok(Ok(None));
            }
            // Another version is proposed, settings, a key, notices.
            b'v' | b'S' | b'K' | b'N' => {}
            _ => return Ok(Err(ProbeFailure::Foreign(Protocol::Postgres))),
        }
    }
}

async fn redis(stream: &mut TcpStream) -> io::Result<ProbeResult> {
    // One that is full, or in protected mode, answers and closes unasked.
    let _ = stream.write_all(b"PING\r\n").await;
    let (mut answer, mut piece) = (Vec::new(), [0; 128]);
    while !answer.contains(&b'\n') && !answer.starts_with(b"+PONG") && answer.len() < ERROR_MAX {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(length) => answer.extend_from_slice(piece.get(..length).unwrap_or_default()),
        }
    }
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(of_redis(answer.split(|&byte| byte == b'\n').next().unwrap_or_default()))
}

/// What comes until the end of the connection, no more than `length` and than an error may be.
async fn up_to(stream: &mut TcpStream, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = stream.take(length.min(ERROR_MAX) as u64);
    match rest.read_to_end(&mut bytes).await {
        // Who refuses a connection may reset it behind its words.
        Err(error) if bytes.is_empty() => Err(error),
        Ok(_) | Err(_) => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;

    async fn answered(protocol: Protocol, answer: &'static [u8]) -> ProbeResult {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            if protocol != Protocol::Mysql {
                let mut first = [0; 6];
                stream.read_exact(&mut first).await.unwrap();
            }
            stream.write_all(answer).await.unwrap();
        };
        tokio::join!(ask(address, protocol), server).0.unwrap()
    }

    #[tokio::test]
    async fn a_database_has_to_speak() {
        const ASKS: &[u8] = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0";
        const LETS_IN: &[u8] = b"R\0\0\0\x08\0\0\0\0S\0\0\0\x09a\0on\0Z\0\0\0\x05I";
        const NO_ROLE: &[u8] = b"R\0\0\0\x08\0\0\0\0E\0\0\0\x15C28000\0Mno role\0\0";
        const STARTS: &[u8] = b"E\0\0\0\x16C57P03\0Mstarting\0\0";
        #[rustfmt::skip]
        let rows: [(Protocol, &'static [u8], &str); 20] = [
            (Protocol::Mysql,    b"\x4a\0\0\0\x0a8.0", "up"),
            (Protocol::Mysql,    b"\x4a\0\0\0\x09x",   "up"),
            (Protocol::Mysql,    b"\x17\0\0\0\xff\x10\x04Too many connections", "Too many connections"),
            (Protocol::Mysql,    b"\x17\0\0\0\xff\x6a\x04not allowed", "up: not allowed"),
            (Protocol::Mysql,    b"\x4a\0\0",          "connection closed before a response"),
            (Protocol::Mysql,    b"HTTP/1.1",          "no response of MySQL"),
            (Protocol::Postgres, ASKS,                 "up"),
            (Protocol::Postgres, LETS_IN,              "up"),
            (Protocol::Postgres, NO_ROLE,              "up"),
            (Protocol::Postgres, b"v\0\0\0\x0c\0\0\0\0\0\0\0\0R\0\0\0\x08\0\0\0\x03", "up"),
            (Protocol::Postgres, STARTS,               "starting"),
            (Protocol::Postgres, b"Ecould not fork new process\n\0", "could not fork new process"),
            (Protocol::Postgres, b"N",                 "connection closed before a response"),
            (Protocol::Postgres, b"HTTP/1.1 400 Bad",  "no response of PostgreSQL"),
            (Protocol::Redis,    b"+PONG\r\n",         "up"),
            (Protocol::Redis,    b"-NOAUTH Authentication required.\r\n", "up: NOAUTH Authentication required."),
            (Protocol::Redis,    b"-LOADING Redis is loading\r\n", "LOADING Redis is loading"),
            (Protocol::Redis,    b"-ERR max number of clients reached\r\n", "ERR max number of clients reached"),
            (Protocol::Redis,    b"SSH-2.0\r\n",       "no response of Redis"),
            (Protocol::Redis,    b"",                  "connection closed before a response"),
        ];
        for (protocol, answer, expected) in rows {
            let result = match answered(protocol, answer).await {
                Ok(None) => "up".to_owned(),
                Ok(Some(words)) => format!("up: {words}"),
                Err(failure) => failure.to_string(),
            };
            assert_eq!(result, expected, "{protocol:?} {answer:?}");
        }
    }

    #[tokio::test]
    async fn a_frozen_one_accepts_and_says_nothing() {
        for (_, protocol) in Protocol::ALL {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let asked = ask(listener.local_addr().unwrap(), protocol);
            assert!(tokio::time::timeout(Duration::from_millis(50), asked).await.is_err());
        }
    }

    #[test]
    fn the_start_up_message_says_its_length() {
        assert_eq!(STARTUP.len(), usize::from(STARTUP[3]));
    }
}
