//! Memory for bytes on their way, used again by each worker: a connection that waits holds none.

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

/// Enough for a usual head.
const SMALL: usize = 4 * 1024;
/// A part of a body, with room for a chunk's size before it and its end behind it.
const LARGE: usize = 64 * 1024 + HEADROOM + SPARE;
/// Room before the data for a chunk's size line: 16 digits and the line's end.
pub(super) const HEADROOM: usize = 18;
/// Room behind the data for the end of a chunk.
pub(super) const SPARE: usize = 2;
/// Buffers of each size that are kept for later.
const KEPT: usize = 64;

/// Large buffers that are kept even where they were not used of late, and how often that is looked at.
const KEPT_IDLE: usize = 4;
const TRIM_EVERY: Duration = Duration::from_secs(5);

/// A worker's spare buffers.
#[derive(Debug, Default)]
pub struct Buffers {
    small: RefCell<Vec<Box<[u8]>>>,
    large: RefCell<Vec<Box<[u8]>>>,
    /// Large ones that were spare at every moment since the last trim.
    unused: Cell<usize>,
    trimmed: Cell<Option<Instant>>,
}

impl Buffers {
    /// A buffer for a head.
    pub fn small(&self) -> Buffer<'_> {
        let spare = self.small.borrow_mut().pop();
        Buffer::new(self, spare.unwrap_or_else(|| vec![0; SMALL].into()))
    }

    /// A buffer for a body of so many bytes, or a part of it.
    pub fn fit(&self, bytes: u64) -> Buffer<'_> {
        if bytes <= (SMALL - HEADROOM - SPARE) as u64 { self.small() } else { self.large() }
    }

    /// A buffer for a part of a body.
    pub fn large(&self) -> Buffer<'_> {
        let mut large = self.large.borrow_mut();
        let spare = large.pop();
        self.unused.set(self.unused.get().min(large.len()));
        drop(large);
        Buffer::new(self, spare.unwrap_or_else(|| vec![0; LARGE].into()))
    }

    /// Lets go of large ones that were spare for some seconds. True while there may be more to let go of.
    pub fn trim(&self, now: Instant) -> bool {
        let mut large = self.large.borrow_mut();
        if self.trimmed.get().is_none_or(|last| TRIM_EVERY <= now.saturating_duration_since(last)) {
            self.trimmed.set(Some(now));
            let left = large.len() - self.unused.get().min(large.len());
            large.truncate(left.max(KEPT_IDLE));
            self.unused.set(large.len());
        }
        KEPT_IDLE < large.len()
    }
}

/// Bytes, of which those from `start` to `end` count. Goes back to the worker when dropped.
#[derive(Debug)]
pub struct Buffer<'w> {
    home: &'w Buffers,
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl<'w> Buffer<'w> {
    fn new(home: &'w Buffers, bytes: Box<[u8]>) -> Self {
        Self { home, bytes, start: 0, end: 0 }
    }

    /// The bytes that count.
    pub fn data(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// The same, to be changed.
    pub fn data_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// True when none counts.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// True when there is no room for data behind them.
    pub fn is_full(&self) -> bool {
        self.bytes.len() <= self.end + SPARE
    }

    /// Room for data behind them: what ends a chunk still fits behind that.
    pub fn data_room(&mut self) -> &mut [u8] {
        let end = self.bytes.len().saturating_sub(SPARE);
        self.bytes.get_mut(self.end..end).unwrap_or_default()
    }

    /// Room behind them.
    pub fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// `count` bytes were put into the room.
    pub fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    /// The first `count` bytes were used.
    pub fn used(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// The last `count` bytes that were used were not used after all.
    pub fn give_back(&mut self, count: usize) {
        self.start = self.start.saturating_sub(count);
    }

    /// Only the first `count` bytes count.
    pub fn truncate(&mut self, count: usize) {
        self.end = self.end.min(self.start + count);
    }

    /// Empties it, and leaves `before` bytes of room in front.
    pub fn clear(&mut self, before: usize) {
        let start = before.min(self.bytes.len());
        (self.start, self.end) = (start, start);
    }

    /// Makes its data one chunk. It has to have been cleared with `HEADROOM`, and filled through `data_room`.
    pub fn make_chunk(&mut self) {
        self.begin_chunk(self.data().len() as u64);
        self.end_chunk();
    }

    /// Says before its data that a chunk of `length` bytes begins.
    pub fn begin_chunk(&mut self, length: u64) {
        let mut line = [0; HEADROOM];
        let mut rest = &mut line[..];
        // There is room for the largest number.
        let _ = write!(rest, "{length:x}\r\n");
        let written = HEADROOM - rest.len();
        self.prepend(&line[..written]);
    }

    /// Says behind its data that a chunk ends.
    pub fn end_chunk(&mut self) {
        self.append(b"\r\n");
    }

    /// Puts `bytes` right before those that count; there has to be room.
    fn prepend(&mut self, bytes: &[u8]) {
        let start = self.start.saturating_sub(bytes.len());
        if let Some(room) = self.bytes.get_mut(start..self.start).filter(|room| room.len() == bytes.len()) {
            room.copy_from_slice(bytes);
            self.start = start;
        }
    }

    /// Puts as much of `bytes` behind as there is room for; returns how much that was.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let room = self.room();
        let count = room.len().min(bytes.len());
        room[..count].copy_from_slice(&bytes[..count]);
        self.end += count;
        count
    }

    /// Makes room for at least one byte, up to `limit` bytes in all; false when that is reached.
    pub fn grow(&mut self, limit: usize) -> bool {
        if self.end < self.bytes.len() {
            return true;
        }
        if self.start != 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            return true;
        }
        if limit <= self.bytes.len() {
            return false;
        }
        let mut larger = vec![0; (self.bytes.len() * 2).min(limit)].into_boxed_slice();
        larger[..self.end].copy_from_slice(&self.bytes[..self.end]);
        self.bytes = larger;
        true
    }

    /// Takes what is behind the first `count` bytes into a buffer of its own; `None` when there is nothing.
    pub fn split_off(&mut self, count: usize) -> Option<Buffer<'w>> {
        let at = (self.start + count).min(self.end);
        let rest = self.bytes.get(at..self.end).filter(|rest| !rest.is_empty())?;
        let mut other = if rest.len() <= SMALL { self.home.small() } else { self.home.large() };
        other.append(rest);
        self.end = at;
        Some(other)
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let shelf = match bytes.len() {
            SMALL => &self.home.small,
            LARGE => &self.home.large,
            _ => return,
        };
        let mut shelf = shelf.borrow_mut();
        if shelf.len() < KEPT {
            shelf.push(bytes);
        }
    }
}

/// A worker's spare lines of text, for heads that are written.
#[derive(Debug, Default)]
pub struct Lines(RefCell<Vec<Vec<u8>>>);

impl Lines {
    /// An empty one.
    pub fn take(&self) -> Line<'_> {
        let mut bytes = self.0.borrow_mut().pop().unwrap_or_default();
        bytes.clear();
        Line { home: self, bytes }
    }
}

/// Text that is written and sent. Goes back to the worker when dropped.
#[derive(Debug)]
pub struct Line<'w> {
    home: &'w Lines,
    bytes: Vec<u8>,
}

impl Deref for Line<'_> {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Line<'_> {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut spare = self.home.0.borrow_mut();
        if spare.len() < KEPT && bytes.capacity() <= LARGE {
            spare.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again() {
        let buffers = Buffers::default();
        let first = buffers.small().bytes.as_ptr();
        assert_eq!(buffers.small().bytes.as_ptr(), first);
        let mut grown = buffers.small();
        grown.append(&[1; SMALL]);
        assert!(grown.grow(3 * SMALL) && grown.room().len() == SMALL);
        grown.filled(SMALL);
        assert!(grown.grow(3 * SMALL) && grown.room().len() == SMALL);
        grown.filled(SMALL);
        assert!(!grown.grow(3 * SMALL));
        grown.used(10);
        assert!(grown.grow(3 * SMALL) && grown.room().len() == 10);
    }

    #[test]
    fn large_buffers_that_nobody_uses_go() {
        let (buffers, start) = (Buffers::default(), Instant::now());
        let used: Vec<_> = (0..20).map(|_| buffers.large()).collect();
        drop(used);
        assert!(buffers.trim(start), "they were used a moment ago");
        let used: Vec<_> = (0..8).map(|_| buffers.large()).collect();
        drop(used);
        assert!(buffers.trim(start + TRIM_EVERY / 2));
        assert_eq!(buffers.large.borrow().len(), 20, "not looked at yet");
        assert!(buffers.trim(start + TRIM_EVERY));
        assert_eq!(buffers.large.borrow().len(), 8, "those that were used stay");
        assert!(!buffers.trim(start + TRIM_EVERY * 2));
        assert_eq!(buffers.large.borrow().len(), KEPT_IDLE);
    }

    #[test]
    fn what_follows_is_split_off() {
        let buffers = Buffers::default();
        let mut buffer = buffers.small();
        buffer.append(b"headbody");
        let rest = buffer.split_off(4).unwrap();
        assert_eq!((buffer.data(), rest.data()), (&b"head"[..], &b"body"[..]));
        assert!(buffer.split_off(4).is_none());
    }

    #[test]
    fn data_becomes_a_chunk() {
        let buffers = Buffers::default();
        let mut buffer = buffers.large();
        buffer.clear(HEADROOM);
        buffer.append(b"data");
        buffer.make_chunk();
        assert_eq!(buffer.data(), b"4\r\ndata\r\n");
    }
}
