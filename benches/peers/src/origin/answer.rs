//! What the origin answers.

use std::io;

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
