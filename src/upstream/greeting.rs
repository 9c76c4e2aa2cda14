//! Whether a database answers, and not only the kernel in its stead: a process that is frozen still accepts connections.
//!
//! Nothing is logged in to. MySQL speaks first (its handshake, protocol version 9 or 10; 255 is an error such as too many
//! connections); PostgreSQL answers an SSLRequest with one letter; Redis answers PING, if only by asking for a password.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::config::model::Protocol;

use super::connect::not_connected;
use super::health::Failure;

/// PostgreSQL's SSLRequest: a length of 8 and its code.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Connects and waits for a sign of life. The failure comes with whether the backend is to blame.
pub(super) async fn ask(address: SocketAddr, protocol: Protocol) -> Result<(), (Failure, bool)> {
    let mut stream = TcpStream::connect(address).await.map_err(|error| not_connected(&error))?;
    let (question, length): (&[u8], usize) = match protocol {
        Protocol::Mysql => (b"", 5),
        Protocol::Postgres => (&SSL_REQUEST, 1),
        Protocol::Redis => (b"PING\r\n", 5),
    };
    let mut answer = [0; 5];
    let answer = answer.get_mut(..length).unwrap_or_default();
    let exchanged: io::Result<_> = async {
        stream.write_all(question).await?;
        stream.read_exact(answer).await
    }
    .await;
    match exchanged {
        Ok(_) if is_well(protocol, answer) => Ok(()),
        Ok(_) => Err((Failure::BadAnswer, true)),
        Err(_) => Err((Failure::Reset, true)),
    }
}

fn is_well(protocol: Protocol, answer: &[u8]) -> bool {
    match protocol {
        Protocol::Mysql => matches!(answer, [_, _, _, 0, 9 | 10]),
        Protocol::Postgres => matches!(answer, [b'S' | b'N']),
        // `-NOAUTH` is alive; `-LOADING`, `-MASTERDOWN` and the like are not there yet.
        Protocol::Redis => matches!(answer, b"+PONG" | b"-NOAU"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;

    async fn answered(protocol: Protocol, answer: &'static [u8]) -> Result<(), (Failure, bool)> {
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
        tokio::join!(ask(address, protocol), server).0
    }

    #[tokio::test]
    async fn a_database_has_to_speak() {
        #[rustfmt::skip]
        let rows: [(Protocol, &'static [u8], Result<(), Failure>); 12] = [
            (Protocol::Mysql,    b"\x4a\0\0\0\x0a8.0", Ok(())),
            (Protocol::Mysql,    b"\x4a\0\0\0\x09x",   Ok(())),
            (Protocol::Mysql,    b"\x17\0\0\0\xff\x10\x04Too many connections", Err(Failure::BadAnswer)),
            (Protocol::Mysql,    b"\x4a\0\0",          Err(Failure::Reset)),
            (Protocol::Mysql,    b"HTTP/1.1",          Err(Failure::BadAnswer)),
            (Protocol::Postgres, b"N",                 Ok(())),
            (Protocol::Postgres, b"S",                 Ok(())),
            (Protocol::Postgres, b"E",                 Err(Failure::BadAnswer)),
            (Protocol::Redis,    b"+PONG\r\n",         Ok(())),
            (Protocol::Redis,    b"-NOAUTH Authentication required.\r\n", Ok(())),
            (Protocol::Redis,    b"-LOADING Redis is loading\r\n", Err(Failure::BadAnswer)),
            (Protocol::Redis,    b"",                  Err(Failure::Reset)),
        ];
        for (protocol, answer, expected) in rows {
            let result = answered(protocol, answer).await.map_err(|(failure, _)| failure);
            assert_eq!(result, expected, "{protocol:?} {answer:?}");
        }
    }

    #[tokio::test]
    async fn a_frozen_one_accepts_and_says_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let asked = ask(listener.local_addr().unwrap(), Protocol::Mysql);
        assert!(tokio::time::timeout(Duration::from_millis(50), asked).await.is_err());
    }
}
