//! The access log: lines on standard output or in a file. Never formats one that is not written.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::IntCounter;

use crate::config::model::{AccessLog, AccessLogSpec};

use super::entry::AccessEntry;
use super::log_file::{LogFile, LogFileSink};
use super::writer::{LineWriter, Losses, Submitted};

/// Lines that may wait for a blocked standard output or a slow disk, in bytes.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// A thread that gathers lines hands them over when it has so many bytes, at the latest.
const GATHER_BYTES: usize = 16 * 1024;
/// How often it is looked whether threads have handed over their lines.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// A thread's line buffer is not kept beyond this.
const KEEP_BYTES: usize = 64 * 1024;

/// The access log of a process.
#[derive(Debug)]
pub struct AccessLogger {
    form: AccessLog,
    writer: Option<LineWriter>,
    /// Where it has one; else lines go to standard output.
    file: Option<Arc<LogFile>>,
    /// Of each thread that gathers lines, whether it has some.
    gathering: Mutex<Vec<Arc<AtomicBool>>>,
}

/// Lines of a thread that did not reach the writer yet.
#[derive(Default)]
struct Gathered {
    text: String,
    lines: u64,
    /// Whose they are, where the thread gathers lines.
    logger: Option<Arc<AccessLogger>>,
    /// There are some; for those who flush.
    some: Arc<AtomicBool>,
}

thread_local! {
    static GATHERED: RefCell<Gathered> = RefCell::default();
}

impl AccessLogger {
    /// Opens the log; with `Off` nothing is opened. `dropped` counts lines lost.
    ///
    /// # Errors
    /// When the system gives no thread, the file cannot be opened or standard output cannot be duplicated.
    pub fn start(spec: &AccessLogSpec, dropped: IntCounter) -> io::Result<Self> {
        match &spec.file {
            _ if spec.form == AccessLog::Off => {
                Ok(Self { form: spec.form, writer: None, file: None, gathering: Mutex::default() })
            }
            None => Self::to_sink(spec.form, super::writer::stdout()?, dropped),
            Some(path) => {
                let file = LogFile::open(path)?;
                let logger = Self::to_sink(spec.form, LogFileSink::new(Arc::clone(&file)), dropped)?;
                Ok(Self { file: Some(file), ..logger })
            }
        }
    }

    /// As [`Self::start`], to another sink.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn to_sink(form: AccessLog, sink: impl io::Write + Send + 'static, dropped: IntCounter) -> io::Result<Self> {
        let writer = LineWriter::start("access-log", sink, QUEUE_BYTES, dropped)?;
        Ok(Self { form, writer: Some(writer), file: None, gathering: Mutex::default() })
    }

    /// False when no line would be written: build no entry then.
    pub fn is_on(&self) -> bool {
        self.form != AccessLog::Off
    }

    /// Lines that were lost so far.
    pub fn losses(&self) -> Losses {
        self.writer.as_ref().map(LineWriter::losses).unwrap_or_default()
    }

    /// Opens the file again, which a log rotation may have moved; its place, where there is a file.
    ///
    /// # Errors
    /// When it cannot be opened; lines go where they went.
    pub fn reopen(&self) -> io::Result<Option<&Path>> {
        let Some(file) = &self.file else { return Ok(None) };
        file.reopen().map(|()| Some(file.path()))
    }

    /// Writes one line, without waiting for the sink.
    pub fn log(&self, entry: &AccessEntry<'_>) {
        GATHERED.with_borrow_mut(|gathered| {
            match self.form {
                AccessLog::Combined => entry.combined(&mut gathered.text),
                AccessLog::CombinedWithId => entry.combined_with_id(&mut gathered.text),
                AccessLog::Json => entry.json(&mut gathered.text),
                AccessLog::Off => return,
            }
            gathered.lines += 1;
            let gathers = gathered.logger.as_ref().is_some_and(|logger| std::ptr::eq(&raw const **logger, self));
            if !gathers || GATHER_BYTES <= gathered.text.len() {
                self.submit(gathered);
            } else if gathered.lines == 1 {
                gathered.some.store(true, Ordering::Release);
            }
        });
    }

    /// From now on this thread's lines gather until it calls [`Self::submit_gathered`]: that has to be before it sleeps.
    pub fn gather_here(self: &Arc<Self>) {
        GATHERED.with_borrow_mut(|gathered| {
            self.gathering.lock().push(Arc::clone(&gathered.some));
            gathered.logger = Some(Arc::clone(self));
        });
    }

    /// Hands over the lines this thread has gathered.
    pub fn submit_gathered() {
        GATHERED.with_borrow_mut(|gathered| {
            if let Some(logger) = gathered.logger.clone().filter(|_| gathered.lines != 0) {
                logger.submit(gathered);
            }
        });
    }

    fn submit(&self, gathered: &mut Gathered) {
        let submitted = self
            .writer
            .as_ref()
            .map(|writer| writer.submit(gathered.text.as_bytes(), std::mem::take(&mut gathered.lines)));
        gathered.some.store(false, Ordering::Release);
        gathered.text.clear();
        gathered.text.shrink_to(KEEP_BYTES);
        if submitted == Some(Submitted::Dropped { first: true }) {
            log::warn!(target: "log", "access-log: the output is blocked; lines are dropped and counted until it takes some again");
        }
    }

    /// Waits until everything logged so far was written; false when `deadline` passed first. Threads that gather lines
    /// are waited for too.
    pub fn flush(&self, deadline: Duration) -> bool {
        let Some(writer) = &self.writer else { return true };
        let gathering = self.gathering.lock().clone();
        let end = Instant::now() + deadline;
        while gathering.iter().any(|some| some.load(Ordering::Acquire)) && Instant::now() < end {
            std::thread::sleep(LOOK_EVERY);
        }
        let is_late = gathering.iter().any(|some| some.load(Ordering::Acquire));
        writer.flush(end.saturating_duration_since(Instant::now())) && !is_late
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::UNIX_EPOCH;

    use super::*;

    fn entry() -> AccessEntry<'static> {
        AccessEntry { method: b"GET", target: b"/", status: 200, ..AccessEntry::at(UNIX_EPOCH) }
    }

    #[test]
    fn a_thread_that_gathers_lines_is_waited_for() {
        let dropped = IntCounter::new("dropped", "dropped").unwrap();
        let (mut reader, sink) = io::pipe().unwrap();
        let logger = Arc::new(AccessLogger::to_sink(AccessLog::Combined, sink, dropped).unwrap());
        let (theirs, (logged, has_logged)) = (Arc::clone(&logger), std::sync::mpsc::channel());
        let (sleep, may_sleep) = std::sync::mpsc::channel::<()>();
        let worker = std::thread::spawn(move || {
            theirs.gather_here();
            theirs.log(&entry());
            theirs.log(&entry());
            logged.send(()).unwrap();
            may_sleep.recv().unwrap();
            AccessLogger::submit_gathered();
        });
        has_logged.recv().unwrap();
        assert!(!logger.flush(Duration::ZERO), "they are not there yet");
        sleep.send(()).unwrap();
        assert!(logger.flush(Duration::from_secs(5)));
        worker.join().unwrap();
        drop(logger);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
    }

    #[test]
    fn the_logger_writes_its_form_and_off_writes_nothing() {
        let dropped = IntCounter::new("dropped", "dropped").unwrap();
        for (form, start) in [(AccessLog::Combined, "- - - ["), (AccessLog::Json, "{\"time\":")] {
            let (mut reader, sink) = io::pipe().unwrap();
            let logger = AccessLogger::to_sink(form, sink, dropped.clone()).unwrap();
            logger.log(&entry());
            logger.log(&entry());
            assert!(logger.flush(Duration::from_secs(5)));
            drop(logger);
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            assert_eq!(text.lines().filter(|line| line.starts_with(start)).count(), 2, "{text}");
        }
        let off = AccessLogger::start(&AccessLogSpec { form: AccessLog::Off, file: None }, dropped).unwrap();
        off.log(&entry());
        assert!(!off.is_on() && off.flush(Duration::ZERO));
    }
}
