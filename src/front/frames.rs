//! What an HTTP/2 connection is used for: one that moves next to nothing but frames of control is a flood.

/// What a connection of HTTP/2 begins with (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame's head (RFC 9113, section 4.1).
const HEAD: usize = 9;
/// Types of the frames that carry something: DATA, HEADERS, CONTINUATION.
const USEFUL: [u8; 3] = [0x0, 0x1, 0x9];
/// Of what came, an eighth has to be of use; beyond a first mebibyte, as in nginx.
const SHARE: u64 = 8;
const ALLOWANCE: u64 = 1 << 20;

/// Counts the frames of one direction.
#[derive(Debug, Default)]
struct Meter {
    total: u64,
    useful: u64,
    head: [u8; HEAD],
    of_head: usize,
    payload_left: usize,
}

impl Meter {
    fn count(&mut self, mut bytes: &[u8]) {
        self.total += bytes.len() as u64;
        while !bytes.is_empty() {
            let skipped = self.payload_left.min(bytes.len());
            self.payload_left -= skipped;
            bytes = &bytes[skipped..];
            let part = bytes.len().min(HEAD - self.of_head);
            if part == 0 {
                return;
            }
            self.head[self.of_head..self.of_head + part].copy_from_slice(&bytes[..part]);
            self.of_head += part;
            bytes = &bytes[part..];
            if self.of_head == HEAD {
                self.of_head = 0;
                let [high, middle, low, kind, ..] = self.head;
                self.payload_left = u32::from_be_bytes([0, high, middle, low]) as usize;
                if USEFUL.contains(&kind) {
                    self.useful += self.payload_left as u64;
                }
            }
        }
    }
}

/// Counts the frames of a connection.
#[derive(Debug, Default)]
pub(super) struct Frames {
    inward: Meter,
    outward: Meter,
}

impl Frames {
    /// The client sent these bytes behind its preface; true when it floods.
    pub fn came(&mut self, bytes: &[u8]) -> bool {
        self.inward.count(bytes);
        let useful = self.inward.useful.saturating_add(self.outward.useful).saturating_add(ALLOWANCE);
        useful < self.inward.total / SHARE
    }

    /// The client was sent these bytes.
    pub fn went(&mut self, bytes: &[u8]) {
        self.outward.count(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let [_, _, middle, low] = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = vec![0, middle, low, kind, 0, 0, 0, 0, 1];
        frame.resize(HEAD + payload, 0);
        frame
    }

    #[test]
    fn pings_alone_are_a_flood() {
        let (mut frames, ping) = (Frames::default(), frame(0x6, 8).repeat(64));
        let most = ALLOWANCE * SHARE / ping.len() as u64;
        assert!((0..most).all(|_| !frames.came(&ping)));
        assert!((0..2).any(|_| frames.came(&ping)));
    }

    #[test]
    fn a_long_download_is_none() {
        let (mut frames, update, data) = (Frames::default(), frame(0x8, 4).repeat(1000), frame(0x0, 16_384));
        for _ in 0..2000 {
            frames.went(&data);
            assert!(!frames.came(&update));
        }
    }

    #[test]
    fn frames_come_in_any_pieces() {
        let bytes = [frame(0x1, 30), frame(0x4, 0), frame(0x0, 100), frame(0x6, 8)].concat();
        for size in 1..bytes.len() {
            let mut meter = Meter::default();
            bytes.chunks(size).for_each(|piece| meter.count(piece));
            assert_eq!((meter.total, meter.useful), (bytes.len() as u64, 130), "in pieces of {size}");
        }
    }
}
