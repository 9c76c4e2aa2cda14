//! Lines to a sink that may block. The one who writes a line never waits: it is queued, or counted as dropped.
//!
//! One thread writes what has gathered, in batches; the queue and the batch are two buffers that change places.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use prometheus::IntCounter;

/// Lines gather this long before they are written, unless there are many.
const GATHER: Duration = Duration::from_millis(50);
/// A queue of this many bytes is written at once.
const BATCH_BYTES: usize = 64 * 1024;
/// A buffer that grew beyond this is not kept.
const KEEP_BYTES: usize = 1024 * 1024;
/// Least time between two reports of dropped lines.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// Writes lines on a thread of its own. The thread ends, after what is queued, when this is dropped.
pub struct LineWriter {
    shared: Arc<WriterShared>,
}

/// What became of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// They will be written.
    Queued,
    /// The queue is full: the sink is blocked or too slow.
    Dropped {
        /// True for the first line lost since the sink last took one.
        first: bool,
    },
}

/// Lines that were lost so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    /// How many.
    pub lines: u64,
    /// Why the last of them was.
    pub cause: String,
}

struct WriterShared {
    state: Mutex<WriterState>,
    work: Condvar,
    done: Condvar,
    capacity: usize,
    dropped: IntCounter,
}

#[derive(Default)]
struct WriterState {
    queue: Vec<u8>,
    accepted: u64,
    written: u64,
    hurry: bool,
    stop: bool,
    blocked: bool,
    /// Why lines were lost last.
    cause: String,
}

impl WriterShared {
    fn lock(&self) -> MutexGuard<'_, WriterState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LineWriter {
    /// Starts the thread. `capacity` is the most bytes that may wait; `dropped` counts lines lost.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        name: &'static str,
        sink: impl Write + Send + 'static,
        capacity: usize,
        dropped: IntCounter,
    ) -> io::Result<Self> {
        let shared = Arc::new(WriterShared {
            state: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
            capacity,
            dropped,
        });
        let theirs = Arc::clone(&shared);
        thread::Builder::new().name(name.to_owned()).spawn(move || run(name, sink, &theirs))?;
        Ok(Self { shared })
    }

    /// Queues so many lines with their line feeds, all or none. Never waits for the sink.
    pub fn submit(&self, text: &[u8], lines: u64) -> Submitted {
        let mut state = self.shared.lock();
        let before = state.queue.len();
        if self.shared.capacity < before + text.len() {
            let first = !state.blocked;
            state.blocked = true;
            if first {
                state.cause = "its output is blocked: nobody reads it".to_owned();
            }
            self.shared.dropped.inc_by(lines);
            return Submitted::Dropped { first };
        }
        state.queue.extend_from_slice(text);
        state.accepted += lines;
        let after = state.queue.len();
        let wake = before == 0 || (before < BATCH_BYTES && BATCH_BYTES <= after);
        drop(state);
        if wake {
            self.shared.work.notify_one();
        }
        Submitted::Queued
    }

    /// What was lost so far.
    pub fn losses(&self) -> Losses {
        Losses { lines: self.shared.dropped.get(), cause: self.shared.lock().cause.clone() }
    }

    /// Waits until everything submitted so far was handed to the sink; false when `deadline` passed first.
    pub fn flush(&self, deadline: Duration) -> bool {
        let mut state = self.shared.lock();
        let target = state.accepted;
        state.hurry = true;
        self.shared.work.notify_one();
        let waited = self.shared.done.wait_timeout_while(state, deadline, |state| state.written < target);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        target <= state.written
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.work.notify_one();
    }
}

impl fmt::Debug for LineWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineWriter").finish_non_exhaustive()
    }
}

/// The thread: gather, take, write, tell, until stopped.
fn run(name: &str, mut sink: impl Write, shared: &WriterShared) {
    let mut batch = Vec::new();
    let mut report = LossReport { told: shared.dropped.get(), at: None, why: None };
    while let Some(upto) = next_batch(shared, &mut batch, report.is_due(shared)) {
        if !batch.is_empty() {
            if let Err((error, left)) = write_all(&mut sink, &batch) {
                shared.lock().cause = error.to_string();
                let lost = left.iter().filter(|byte| **byte == b'\n').count();
                shared.dropped.inc_by(lost as u64);
                report.why = Some(error);
            }
            batch.clear();
            batch.shrink_to(KEEP_BYTES);
        }
        let mut state = shared.lock();
        state.written = upto;
        state.blocked = false;
        drop(state);
        shared.done.notify_all();
        report.tell(name, shared);
    }
}

/// Waits for lines and takes them; `None` when stopped and empty. With losses untold it returns within a second.
fn next_batch(shared: &WriterShared, batch: &mut Vec<u8>, untold: bool) -> Option<u64> {
    let mut state = shared.lock();
    if untold {
        let idle = |state: &mut WriterState| state.queue.is_empty() && !state.stop && !state.hurry;
        let waited = shared.work.wait_timeout_while(state, Duration::from_secs(1), idle);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
    } else {
        let idle = |state: &mut WriterState| state.queue.is_empty() && !state.stop && !state.hurry;
        state = shared.work.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
    }
    if state.queue.is_empty() && state.stop {
        return None;
    }
    let more = |state: &mut WriterState| state.queue.len() < BATCH_BYTES && !state.stop && !state.hurry;
    if !state.queue.is_empty() {
        let waited = shared.work.wait_timeout_while(state, GATHER, more);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
    state.hurry = false;
    std::mem::swap(&mut state.queue, batch);
    Some(state.accepted)
}

/// Writes everything; a sink that is momentarily full is tried again, as is an interrupted call. An error comes with what
/// was not written.
fn write_all<'b>(sink: &mut impl Write, mut bytes: &'b [u8]) -> Result<(), (io::Error, &'b [u8])> {
    while !bytes.is_empty() {
        match sink.write(bytes) {
            Ok(0) => return Err((io::ErrorKind::WriteZero.into(), bytes)),
            Ok(count) => bytes = &bytes[count.min(bytes.len())..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err((error, bytes)),
        }
    }
    sink.flush().map_err(|error| (error, bytes))
}

/// Standard output without std's own buffer and lock.
pub(super) fn stdout() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

/// Standard error without std's own lock.
pub(super) fn stderr() -> io::Result<File> {
    Ok(File::from(io::stderr().as_fd().try_clone_to_owned()?))
}

/// How many losses were already told, and when.
struct LossReport {
    told: u64,
    at: Option<Instant>,
    /// What the system said last, where it refused some.
    why: Option<io::Error>,
}

impl LossReport {
    fn is_due(&self, shared: &WriterShared) -> bool {
        self.told < shared.dropped.get()
    }

    fn tell(&mut self, name: &str, shared: &WriterShared) {
        let dropped = shared.dropped.get();
        let recently = self.at.is_some_and(|at| at.elapsed() < REPORT_EVERY);
        if self.told < dropped && !recently {
            let lost = dropped - self.told;
            match self.why.take() {
                Some(why) => log::warn!(target: "log", "{name}: {lost} lines were dropped: {why}"),
                None => log::warn!(target: "log", "{name}: {lost} lines were dropped because the output was blocked"),
            }
            self.told = dropped;
            self.at = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};

    use super::*;

    fn counter() -> IntCounter {
        IntCounter::new("dropped", "dropped").unwrap()
    }

    #[test]
    fn lines_arrive_in_order_and_soon() {
        let (reader, sink) = io::pipe().unwrap();
        let writer = LineWriter::start("test", sink, 1 << 20, counter()).unwrap();
        let started = Instant::now();
        for line in ["one\n", "two\n", "three\n"] {
            assert_eq!(writer.submit(line.as_bytes(), 1), Submitted::Queued);
        }
        let mut lines = BufReader::new(reader).lines();
        for line in ["one", "two", "three"] {
            assert_eq!(lines.next().unwrap().unwrap(), line);
        }
        assert!(started.elapsed() < Duration::from_secs(2), "flushed after {:?}", started.elapsed());
        drop(writer);
        assert!(lines.next().is_none(), "the thread ends and closes the sink");
    }

    #[test]
    fn a_blocked_sink_delays_nobody_and_its_losses_are_counted() {
        let (mut reader, sink) = io::pipe().unwrap();
        let dropped = counter();
        let writer = LineWriter::start("test", sink, 64 * 1024, dropped.clone()).unwrap();
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        let (mut queued, mut lost, mut firsts) = (0, 0, 0);
        let deadline = Instant::now() + Duration::from_secs(10);
        // A flush that gives up shows that the pipe is full and the thread hangs in it.
        while lost == 0 || writer.flush(Duration::from_millis(20)) {
            assert!(Instant::now() < deadline, "the pipe never filled");
            let started = Instant::now();
            for _ in 0..200 {
                match writer.submit(&line, 1) {
                    Submitted::Queued => queued += 1,
                    Submitted::Dropped { first } => {
                        lost += 1;
                        firsts += usize::from(first);
                    }
                }
            }
            assert!(started.elapsed() < Duration::from_secs(2), "submitting took {:?}", started.elapsed());
        }
        assert_eq!(dropped.get(), lost);
        assert!((1..=10).contains(&firsts), "{firsts} reports");

        drop(writer);
        let mut everything = Vec::new();
        reader.read_to_end(&mut everything).unwrap();
        assert_eq!(everything.len() as u64, queued * 1024, "every queued line arrives once the sink is read again");
    }

    #[test]
    fn flush_waits_for_what_was_submitted() {
        let (mut reader, sink) = io::pipe().unwrap();
        let writer = LineWriter::start("test", sink, 1 << 20, counter()).unwrap();
        writer.submit(b"line\n", 1);
        assert!(writer.flush(Duration::from_secs(5)));
        let mut got = [0; 5];
        reader.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"line\n");
        assert!(writer.flush(Duration::from_secs(5)), "with nothing to do");
    }

    #[test]
    fn a_full_disk_is_named() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let writer = LineWriter::start("test", full, 1 << 20, counter()).unwrap();
        assert_eq!(writer.losses(), Losses::default());
        writer.submit(b"line\n", 1);
        assert!(writer.flush(Duration::from_secs(5)));
        let losses = writer.losses();
        assert!(losses.lines == 1 && losses.cause.starts_with("No space left on device"), "{losses:?}");
    }

    #[test]
    fn a_closed_sink_is_survived() {
        let (reader, sink) = io::pipe().unwrap();
        drop(reader);
        let dropped = counter();
        let writer = LineWriter::start("test", sink, 1 << 20, dropped.clone()).unwrap();
        writer.submit(b"one\n", 1);
        assert!(writer.flush(Duration::from_secs(5)));
        writer.submit(b"two\nthree\n", 2);
        assert!(writer.flush(Duration::from_secs(5)));
        assert_eq!(dropped.get(), 3);
    }

    /// Takes one byte a call and is full every other time.
    struct Hesitant(Vec<u8>, bool, std::sync::mpsc::Sender<u8>);

    impl Write for Hesitant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.0.push(bytes[0]);
            self.2.send(bytes[0]).map_err(io::Error::other)?;
            Ok(1)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_sink_that_takes_little_gets_it_all() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let writer = LineWriter::start("test", Hesitant(Vec::new(), false, sender), 1 << 20, counter()).unwrap();
        writer.submit(b"slowly\n", 1);
        assert!(writer.flush(Duration::from_secs(5)));
        drop(writer);
        assert_eq!(receiver.iter().collect::<Vec<_>>(), b"slowly\n");
    }
}
