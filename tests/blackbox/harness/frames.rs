//! HTTP/2 frame by frame (RFC 9113), for what a well-behaved client would not send.

use std::net::SocketAddr;

use super::Wire;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const REFUSED_STREAM: u32 = 7;
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame.
#[derive(Debug, Clone)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of a `RST_STREAM` or `GOAWAY`.
    pub fn code(&self) -> Option<u32> {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => return None,
        };
        Some(u32::from_be_bytes(self.payload.get(at..at + 4)?.try_into().ok()?))
    }

    /// The status of an answer's HEADERS, where it is in a form that servers use.
    pub fn status(&self) -> Option<u16> {
        // Digits in HPACK's Huffman code (RFC 7541, appendix B): 0 to 2 take five bits, the others six.
        fn digits(bytes: &[u8]) -> u16 {
            let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
            let (mut at, mut number) = (0, 0);
            while at + 5 <= bits.len() {
                let five = u16::from_str_radix(&bits[at..at + 5], 2).unwrap();
                let (digit, length) = if five < 3 {
                    (five, 5)
                } else {
                    (u16::from_str_radix(bits.get(at..at + 6).unwrap_or("111111"), 2).unwrap().wrapping_sub(22), 6)
                };
                if 9 < digit {
                    break;
                }
                number = number * 10 + digit;
                at += length;
            }
            number
        }
        if self.kind != HEADERS {
            return None;
        }
        // A change of the table's size may come first.
        let block = &self.payload[self.payload.iter().position(|byte| byte & 0xe0 != 0x20)?..];
        match *block {
            [indexed @ 0x88..=0x8e, ..] => Some([200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)]),
            [0x48 | 0x08, length, ref rest @ ..] if length & 0x80 == 0 => {
                std::str::from_utf8(rest.get(..usize::from(length))?).ok()?.parse().ok()
            }
            [0x48 | 0x08, length, ref rest @ ..] => Some(digits(rest.get(..usize::from(length & 0x7f))?)),
            _ => None,
        }
    }
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Fields as HPACK literals without an index, each byte as it is.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            let length = text.len();
            if length < 127 {
                bytes.push(u8::try_from(length).unwrap());
            } else {
                bytes.push(127);
                let mut rest = length - 127;
                while 128 <= rest {
                    bytes.push(u8::try_from(rest % 128).unwrap() | 128);
                    rest /= 128;
                }
                bytes.push(u8::try_from(rest).unwrap());
            }
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

/// A GET of a path.
pub fn get(path: &str) -> Vec<u8> {
    block(&[(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a")])
}

/// A connection that speaks HTTP/2.
pub struct Http2Wire {
    pub wire: Wire,
}

impl Http2Wire {
    /// Sends the preface and these settings.
    pub async fn to(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut payload = Vec::new();
        for (id, value) in settings {
            payload.extend(id.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        let wire = Wire::saying(address, [PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat()).await;
        Self { wire }
    }

    /// Sends a frame; false when the other side does not take it any more.
    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.wire.send(frame(kind, flags, stream, payload)).await
    }

    /// Sends a whole request without a body.
    pub async fn request(&mut self, stream: u32, block: &[u8]) -> bool {
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, block).await
    }

    /// The next frame; `None` at the end of the connection. Settings and pings are answered on the way.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            let head = self.wire.bytes(9).await;
            let length = u32::from_be_bytes([0, *head.first()?, *head.get(1)?, *head.get(2)?]);
            let stream = u32::from_be_bytes(head.get(5..9)?.try_into().unwrap()) & 0x7fff_ffff;
            let payload = self.wire.bytes(usize::try_from(length).unwrap()).await;
            let found = Frame { kind: head[3], flags: head[4], stream, payload };
            match found.kind {
                SETTINGS | PING if found.flags & ACK != 0 => {}
                SETTINGS => _ = self.send(SETTINGS, ACK, 0, &[]).await,
                PING => _ = self.send(PING, ACK, 0, &found.payload).await,
                WINDOW_UPDATE => {}
                _ => return Some(found),
            }
        }
    }

    /// The next frame of a stream that ends it or begins its answer, or one that ends the connection.
    pub async fn outcome(&mut self, stream: u32) -> Outcome {
        while let Some(found) = self.next().await {
            match found.kind {
                GOAWAY => return Outcome::GoneAway(found.code().unwrap()),
                RST_STREAM if found.stream == stream => return Outcome::Reset(found.code().unwrap()),
                HEADERS if found.stream == stream => return Outcome::Answered(found.status().unwrap()),
                _ => {}
            }
        }
        Outcome::Closed
    }
}

/// What became of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Answered(u16),
    Reset(u32),
    GoneAway(u32),
    Closed,
}
