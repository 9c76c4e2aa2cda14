//! What the origin answers.

use std::io;
use std::sync::LazyLock;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Bodies are written in pieces of this size, which stay in the processor's cache.
const PIECE_BYTES: usize = 128 * 1024;

static PIECE: [u8; PIECE_BYTES] = [b'x'; PIECE_BYTES];

/// What is answered.
pub enum Answer {
    Small(&'static [u8]),
    Large(usize),
    Text(Vec<u8>),
    Missing,
}

impl Answer {
    /// What the last segment of a path asks for.
    pub fn of(last: &[u8], head: &[u8]) -> Self {
        match last {
            b"200b" => Self::Small(SMALL),
            b"10k" => Self::Large(10 * 1024),
            b"100k" => Self::Large(100 * 1024),
            b"10m" => Self::Large(10 * 1024 * 1024),
            b"upload" => Self::Large(2),
            b"fields-6" => Self::Small(&FIELDS[0]),
            b"fields-12" => Self::Small(&FIELDS[1]),
            b"auth" => Self::Small(PASS),
            b"head" => Self::Text(head.to_vec()),
            _ => Self::Missing,
        }
    }

    /// Writes head and body.
    pub async fn write(&self, stream: &mut TcpStream) -> io::Result<()> {
        match self {
            Self::Small(whole) => stream.write_all(whole).await,
            Self::Missing => stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await,
            Self::Text(text) => stream.write_all(&[&start(text.len()), &text[..]].concat()).await,
            Self::Large(length) => {
                let head = start(*length);
                let first = (*length).min(PIECE_BYTES - head.len());
                stream.write_all(&[&head, &PIECE[..first]].concat()).await?;
                let mut left = length - first;
                while left != 0 {
                    let piece = left.min(PIECE_BYTES);
                    stream.write_all(&PIECE[..piece]).await?;
                    left -= piece;
                }
                Ok(())
            }
        }
    }
}

fn start(length: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n")
        .into_bytes()
}

/// What lets a request pass that a proxy asks about.
const PASS: &[u8] = b"HTTP/1.1 200 OK\r\nServer: origin\r\nX-User-Id: 7\r\nContent-Length: 0\r\n\r\n";
/// Fields that applications send, the most usual first.
const USUAL: [&str; 12] = [
    "Content-Type: text/html; charset=utf-8",
    "Content-Length: 200",
    "Date: Sat, 28 Nov 2026 08:00:00 GMT",
    "Server: origin",
    "Cache-Control: private, no-cache, no-store, must-revalidate",
    "ETag: W/\"c8-Bq2m1fXvZk0yY3o4rT5uWw7xE9s\"",
    "Set-Cookie: session=0f4c9b7a2d8e4b61a5c3d7e9f1024b6c; Path=/; HttpOnly; Secure; SameSite=Lax",
    "Vary: Accept-Encoding, Cookie",
    "X-Content-Type-Options: nosniff",
    "X-Frame-Options: SAMEORIGIN",
    "Referrer-Policy: strict-origin-when-cross-origin",
    "Strict-Transport-Security: max-age=31536000; includeSubDomains",
];
/// 200 bytes after a head with 6 and with 12 fields.
static FIELDS: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    [6, 12].map(|count| {
        let head = format!("HTTP/1.1 200 OK\r\n{}\r\n\r\n", USUAL[..count].join("\r\n"));
        [head.as_bytes(), &PIECE[..200]].concat()
    })
});
static SMALL: &[u8] = concat_small();

/// Head and 200 bytes of body.
const fn concat_small() -> &'static [u8] {
    b"HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: text/plain\r\nContent-Length: 200\r\n\r\n\
      xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
      xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
}

#[cfg(test)]
mod tests {
    use memchr::memmem;

    use super::*;

    #[test]
    fn the_small_answer_is_as_long_as_it_says() {
        let at = memmem::find(SMALL, b"\r\n\r\n").expect("a head");
        assert_eq!(SMALL.len() - at - 4, 200);
    }
}
