//! The body of a backend's response: where it ends, and the form in which it goes on.

use crate::http1::{Chunked, ChunkedForm, LAST_CHUNK, ResponseFraming};
use crate::upstream::Failure;

use super::buffer::Buffer;
use super::heads::ResponseBodyOut;

/// A response's body.
pub(super) struct Body {
    framing: ResponseFraming,
    pub out: ResponseBodyOut,
    pub left: u64,
    chunked: Option<Chunked>,
    /// All of it was read.
    pub done: bool,
    /// Bytes came that nobody asked for: the connection is not used again.
    pub stray: bool,
    /// Bytes of data so far.
    pub data: u64,
}

impl Body {
    pub fn new(framing: ResponseFraming, out: ResponseBodyOut) -> Self {
        let left = if let ResponseFraming::Length(length) = framing { length } else { 0 };
        let form = if out == ResponseBodyOut::Chunks { ChunkedForm::Chunks } else { ChunkedForm::Data };
        let chunked = (framing == ResponseFraming::Chunked).then(|| Chunked::new(form));
        let done = matches!(framing, ResponseFraming::None | ResponseFraming::Length(0));
        Self { framing, out, left, chunked, done, stray: false, data: 0 }
    }

    /// Leaves in `bytes`, which were just read, what is to be sent of them.
    pub fn take(&mut self, bytes: &mut Buffer<'_>) -> Result<(), Failure> {
        let came = bytes.data().len();
        match (self.framing, &mut self.chunked) {
            (_, Some(chunked)) => {
                let rewritten = chunked.rewrite(bytes.data_mut()).map_err(|_| Failure::BadAnswer)?;
                bytes.truncate(rewritten.written);
                self.done = chunked.is_done();
                self.stray = rewritten.read < came;
                self.data = chunked.data();
            }
            (ResponseFraming::None, None) => {
                self.stray = came != 0;
                bytes.truncate(0);
            }
            (ResponseFraming::UntilClose | ResponseFraming::Chunked, None) => {
                self.data += came as u64;
                if self.out == ResponseBodyOut::IntoChunks && came != 0 {
                    bytes.make_chunk();
                }
            }
            (ResponseFraming::Length(_), None) => {
                let part = usize::try_from(self.left).unwrap_or(came).min(came);
                bytes.truncate(part);
                self.left -= part as u64;
                self.data += part as u64;
                self.done = self.left == 0;
                self.stray = part < came;
            }
        }
        Ok(())
    }

    /// How much is left, where nothing of it has to be looked at.
    pub fn left_as_it_comes(&self) -> Option<u64> {
        (matches!(self.framing, ResponseFraming::Length(_)) && self.out == ResponseBodyOut::AsIs).then_some(self.left)
    }

    /// So much of it went on without being looked at.
    pub fn passed(&mut self, count: usize) {
        self.left = self.left.saturating_sub(count as u64);
        self.data += count as u64;
        self.done = self.left == 0;
    }

    /// The backend's connection ended.
    pub fn end(&mut self) -> Result<(), Failure> {
        self.done = self.framing == ResponseFraming::UntilClose;
        if self.done { Ok(()) } else { Err(Failure::Reset) }
    }

    /// What follows the last byte, in chunks; with the trailers.
    pub fn trailer_section(&self) -> &[u8] {
        self.chunked.as_ref().map_or(b"", Chunked::ending)
    }

    /// What follows the last byte.
    pub fn ending(&self) -> &[u8] {
        match (&self.chunked, self.out) {
            _ if !self.done => b"",
            (Some(chunked), ResponseBodyOut::Chunks) => chunked.ending(),
            (_, ResponseBodyOut::IntoChunks) => LAST_CHUNK,
            _ => b"",
        }
    }
}
