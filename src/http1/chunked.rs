//! The chunked coding (RFC 9112, section 7.1), checked and brought into its plainest form in place.
//!
//! Chunk extensions and leading zeros go; what is left is never longer than what came, so nothing is copied to
//! another buffer, and nothing moves at all where the sender was plain already.

use super::fields::Known;

/// What ends a body in chunks that has no trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Longest size line with its extensions, bytes.
const LINE_MAX: usize = 8 * 1024;
/// Longest trailer section, bytes.
const TRAILER_MAX: usize = 32 * 1024;
/// Hex digits of the largest chunk that can be counted.
const DIGITS_MAX: usize = 16;

/// A body that is not well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadChunk(pub &'static str);

/// What is wanted of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkedForm {
    /// Chunks again.
    Chunks,
    /// Its data alone.
    Data,
}

/// What became of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewritten {
    /// Bytes that belong to the body; what follows does not.
    pub read: usize,
    /// Bytes at the start of the slice that are to be sent.
    pub written: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChunkState {
    /// In the size, `digits` of it were seen.
    Size {
        digits: usize,
    },
    /// In an extension: outside quotes, inside, or behind a backslash.
    Extension {
        quoted: bool,
        escaped: bool,
    },
    /// The line feed of a size line.
    SizeEnd,
    Data,
    DataEnd,
    DataEndFeed,
    /// At or in a line of the trailer section.
    Trailer,
    TrailerFeed,
    Done,
}

/// One body on its way.
#[derive(Debug)]
pub struct Chunked {
    form: ChunkedForm,
    state: ChunkState,
    /// Left of the chunk.
    left: u64,
    line: usize,
    data: u64,
    trailer: Vec<u8>,
    /// Where the trailer's current line begins.
    line_start: usize,
}

impl Chunked {
    /// The start of a body.
    pub fn new(form: ChunkedForm) -> Self {
        Self {
            form,
            state: ChunkState::Size { digits: 0 },
            left: 0,
            line: 0,
            data: 0,
            trailer: Vec::new(),
            line_start: 0,
        }
    }

    /// True once the whole body was seen.
    pub fn is_done(&self) -> bool {
        self.state == ChunkState::Done
    }

    /// Bytes of data so far.
    pub fn data(&self) -> u64 {
        self.data
    }

    /// What ends the body where it goes on in chunks: the last chunk, the trailer fields that may be passed on, and the
    /// empty line. Empty until [`is_done`](Self::is_done).
    pub fn ending(&self) -> &[u8] {
        match self.state {
            ChunkState::Done if self.trailer.is_empty() => LAST_CHUNK,
            ChunkState::Done => &self.trailer,
            _ => b"",
        }
    }

    /// Checks the next bytes and leaves what is to be sent of them at the start of the slice.
    ///
    /// # Errors
    /// When they are not well-formed; the message then must not be completed.
    pub fn rewrite(&mut self, bytes: &mut [u8]) -> Result<Rewritten, BadChunk> {
        let (mut read, mut written) = (0, 0);
        while read < bytes.len() && self.state != ChunkState::Done {
            if self.state == ChunkState::Data {
                let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - read);
                if read != written {
                    bytes.copy_within(read..read + length, written);
                }
                (read, written) = (read + length, written + length);
                self.left -= length as u64;
                self.data += length as u64;
                if self.left == 0 {
                    self.state = ChunkState::DataEnd;
                }
                continue;
            }
            let byte = bytes[read];
            read += 1;
            if self.step(byte)? {
                bytes[written] = byte;
                written += 1;
            }
        }
        Ok(Rewritten { read, written })
    }

    /// Takes one byte that is not data; true where it is sent.
    fn step(&mut self, byte: u8) -> Result<bool, BadChunk> {
        let framing = self.form == ChunkedForm::Chunks;
        match self.state {
            ChunkState::Size { digits } => self.size(byte, digits),
            ChunkState::Extension { quoted, escaped } => self.extension(byte, quoted, escaped),
            ChunkState::SizeEnd => {
                expect(byte, b'\n')?;
                self.line = 0;
                self.state = if self.left == 0 { ChunkState::Trailer } else { ChunkState::Data };
                Ok(framing && self.left != 0)
            }
            ChunkState::DataEnd => {
                expect(byte, b'\r')?;
                self.state = ChunkState::DataEndFeed;
                Ok(framing)
            }
            ChunkState::DataEndFeed => {
                expect(byte, b'\n')?;
                self.state = ChunkState::Size { digits: 0 };
                Ok(framing)
            }
            ChunkState::Trailer => self.trailer(byte).map(|()| false),
            ChunkState::TrailerFeed => {
                expect(byte, b'\n')?;
                self.end_trailer_line()?;
                Ok(false)
            }
            ChunkState::Data | ChunkState::Done => Ok(false),
        }
    }

    fn size(&mut self, byte: u8, digits: usize) -> Result<bool, BadChunk> {
        let framing = self.form == ChunkedForm::Chunks;
        if let Some(digit) = char::from(byte).to_digit(16) {
            if digits == DIGITS_MAX {
                return Err(BadChunk("a chunk's size is too large"));
            }
            // A zero in front says nothing.
            let leading = self.left == 0 && digit == 0;
            self.left = self.left.checked_mul(16).ok_or(BadChunk("a chunk's size is too large"))? + u64::from(digit);
            self.state = ChunkState::Size { digits: digits + 1 };
            return Ok(framing && !leading);
        }
        if digits == 0 {
            return Err(BadChunk("a chunk's size is missing"));
        }
        match byte {
            b'\r' => Ok(self.end_size()),
            b';' => {
                self.line = 0;
                self.state = ChunkState::Extension { quoted: false, escaped: false };
                Ok(false)
            }
            _ => Err(BadChunk("a chunk's size is malformed")),
        }
    }

    fn extension(&mut self, byte: u8, quoted: bool, escaped: bool) -> Result<bool, BadChunk> {
        self.line += 1;
        if LINE_MAX < self.line {
            return Err(BadChunk("a chunk's extension is too long"));
        }
        match byte {
            b'\r' if !quoted => return Ok(self.end_size()),
            b'\t' | b' '..=b'~' | 0x80.. => {}
            _ => return Err(BadChunk("a chunk's extension is malformed")),
        }
        self.state = match byte {
            _ if escaped => ChunkState::Extension { quoted, escaped: false },
            b'\\' if quoted => ChunkState::Extension { quoted, escaped: true },
            b'"' => ChunkState::Extension { quoted: !quoted, escaped: false },
            _ => ChunkState::Extension { quoted, escaped: false },
        };
        Ok(false)
    }

    /// The size line's carriage return. The last chunk goes with the ending.
    fn end_size(&mut self) -> bool {
        self.state = ChunkState::SizeEnd;
        self.form == ChunkedForm::Chunks && self.left != 0
    }

    fn trailer(&mut self, byte: u8) -> Result<(), BadChunk> {
        if TRAILER_MAX < self.trailer.len() + self.line {
            return Err(BadChunk("the trailer section is too long"));
        }
        self.line += 1;
        match byte {
            b'\r' => self.state = ChunkState::TrailerFeed,
            b'\t' | b' '..=b'~' | 0x80.. => self.trailer.push(byte),
            _ => return Err(BadChunk("the trailer section is malformed")),
        }
        Ok(())
    }

    /// Keeps the line where it may be passed on (RFC 9110, section 6.5.1).
    fn end_trailer_line(&mut self) -> Result<(), BadChunk> {
        let line = self.trailer.get(self.line_start..).unwrap_or_default();
        if line.is_empty() {
            if !self.trailer.is_empty() {
                self.trailer.splice(..0, *b"0\r\n");
                self.trailer.extend_from_slice(b"\r\n");
            }
            self.state = ChunkState::Done;
            return Ok(());
        }
        let colon = memchr::memchr(b':', line).ok_or(BadChunk("the trailer section is malformed"))?;
        let name = line.get(..colon).unwrap_or_default();
        let is_token = !name.is_empty() && name.iter().all(|byte| is_token_byte(*byte));
        if !is_token {
            return Err(BadChunk("the trailer section is malformed"));
        }
        if may_trail(name) {
            self.trailer.extend_from_slice(b"\r\n");
        } else {
            self.trailer.truncate(self.line_start);
        }
        self.line_start = self.trailer.len();
        self.state = ChunkState::Trailer;
        Ok(())
    }
}

fn expect(byte: u8, wanted: u8) -> Result<(), BadChunk> {
    if byte == wanted { Ok(()) } else { Err(BadChunk("a chunk's data does not match its size")) }
}

/// RFC 9110, section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What frames, routes or authenticates a message is not taken from its end.
fn may_trail(name: &[u8]) -> bool {
    const NEVER: [&str; 8] = [
        "authorization",
        "content-encoding",
        "content-range",
        "content-type",
        "cookie",
        "set-cookie",
        "max-forwards",
        "cache-control",
    ];
    let known = Known::of(name);
    let plain = matches!(known, Known::Other);
    plain && !NEVER.iter().any(|never| name.eq_ignore_ascii_case(never.as_bytes()))
}

#[cfg(test)]
#[path = "chunked_tests.rs"]
mod tests;
