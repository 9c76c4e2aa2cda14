//! What an operator reads at night: the error log on standard error. Never waits for whoever reads it.
//!
//! `2026-11-21T08:00:00.123Z INFO  upstream: backend 172.18.0.4:8000 is down: connection refused`

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use env_logger::{Builder, Target, WriteStyle};
use log::{Level, LevelFilter, Log, Metadata, Record};
use prometheus::IntCounter;

use crate::config::model::LogSpec;

use super::escape;
use super::limiter::Limiter;
use super::recent::RecentLines;
use super::writer::{LineWriter, Losses};

/// Lines that may wait for a blocked standard error, in bytes.
const QUEUE_BYTES: usize = 1024 * 1024;
/// The error log is one a process, as the `log` crate is.
static WRITER: OnceLock<LineWriter> = OnceLock::new();
static RECENT: RecentLines = RecentLines::new();

/// Starts the error log. `RUST_LOG` overrides the level of the file. A second call changes nothing.
///
/// # Errors
/// When the system gives no thread or standard error cannot be duplicated.
pub fn init(spec: &LogSpec, dropped: IntCounter) -> io::Result<()> {
    if WRITER.get().is_some() {
        return Ok(());
    }
    let writer = LineWriter::start("error-log", super::writer::stderr()?, QUEUE_BYTES, dropped)?;
    if WRITER.set(writer).is_err() {
        return Ok(());
    }
    let mut builder = Builder::new();
    match std::env::var("RUST_LOG") {
        Ok(filters) if !filters.trim().is_empty() => {
            builder.parse_filters(&filters);
        }
        Ok(_) | Err(_) => {
            for (module, level) in filters(spec.level) {
                builder.filter(module, level);
            }
        }
    }
    let coloured = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    builder.write_style(if coloured { WriteStyle::Always } else { WriteStyle::Never });
    builder.target(Target::Pipe(Box::new(LogPipe)));
    builder.format(move |out, record| {
        let style = if coloured { out.default_level_style(record.level()) } else { Default::default() };
        let (now, level) = (Utc::now(), format!("{style}{:<5}{style:#}", record.level()));
        if record.level() <= Level::Info {
            RECENT.keep(&line(now, &format!("{:<5}", record.level()), record), Instant::now());
        }
        out.write_all(line(now, &level, record).as_bytes())
    });
    let own = Logger { inner: builder.build(), foreign: Limiter::default() };
    let level = own.inner.filter();
    // Another logger that was set first keeps working; then this one is idle.
    if log::set_boxed_logger(Box::new(own)).is_ok() {
        log::set_max_level(level);
    }
    Ok(())
}

/// Waits until what was logged so far was written; false when `deadline` passed first. For use before an exit.
pub fn flush(deadline: Duration) -> bool {
    WRITER.get().is_none_or(|writer| writer.flush(deadline))
}

/// Lines of the last hour, oldest first: 2000 at most, each of 500 bytes, from `info` on.
pub fn recent() -> Vec<String> {
    RECENT.all(Instant::now())
}

/// Lines of the error log that were lost so far.
pub fn losses() -> Losses {
    WRITER.get().map(LineWriter::losses).unwrap_or_default()
}

/// Which modules speak at which level. Ours at the level asked for; Pingora's per-request lines repeat what the access
/// log and our own lines say, so they are silent until someone asks for more.
fn filters(level: LevelFilter) -> Vec<(Option<&'static str>, LevelFilter)> {
    let foreign = match level {
        LevelFilter::Trace => LevelFilter::Debug,
        LevelFilter::Debug => LevelFilter::Info,
        LevelFilter::Info | LevelFilter::Warn => LevelFilter::Warn,
        LevelFilter::Error => LevelFilter::Error,
        LevelFilter::Off => LevelFilter::Off,
    };
    let mut filters = vec![(None, level), (Some("remora"), level)];
    for module in ["pingora", "bollard", "hyper", "hyper_util", "h2", "rustls", "notify", "mio", "want", "tracing"] {
        filters.push((Some(module), foreign));
    }
    if level <= LevelFilter::Info {
        filters.push((Some("pingora_proxy"), LevelFilter::Off));
        filters.push((Some("pingora_load_balancing"), LevelFilter::Off));
        filters.push((Some("pingora_core::protocols"), LevelFilter::Off));
        filters.push((Some("pingora_core::apps"), LevelFilter::Off));
        filters.push((Some("pingora_core::connectors"), LevelFilter::Off));
        filters.push((Some("h2"), LevelFilter::Off));
        // What a client's hello is like is counted (`tls_handshake`); for a stranger it is a way to fill the log.
        filters.push((Some("rustls"), LevelFilter::Off));
    }
    filters
}

/// Keeps the lines of other crates, whose number nobody here decides, to one a second.
struct Logger {
    inner: env_logger::Logger,
    foreign: Limiter,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.inner.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.inner.matches(record) {
            return;
        }
        // Who asks for details wants each.
        let more = if is_own(record.target()) || Level::Info < record.level() { Some(0) } else { self.foreign.admit() };
        match more {
            None => {}
            Some(0) => self.inner.log(record),
            Some(more) => {
                let mut said = Record::builder();
                said.level(record.level()).target(record.target()).module_path(record.module_path());
                self.inner.log(&said.args(format_args!("{}; {more} similar suppressed", record.args())).build());
            }
        }
    }

    fn flush(&self) {
        self.inner.flush();
    }
}

/// A module of ours, or a part that is named by hand, such as `log`.
fn is_own(target: &str) -> bool {
    target == "log" || target.split("::").next() == Some("remora")
}

/// One line with its line feed.
fn line(now: DateTime<Utc>, level: &str, record: &Record<'_>) -> String {
    let mut line = String::with_capacity(160);
    let _ = write!(line, "{} {level} {}: ", now.format("%Y-%m-%dT%H:%M:%S%.3fZ"), short(record.target()));
    match record.args().as_str() {
        Some(message) => escape::plain(&mut line, message),
        None => escape::plain(&mut line, &record.args().to_string()),
    }
    line.push('\n');
    line
}

/// `remora::upstream::check` is `upstream`; `pingora_core::server` is `pingora_core`.
fn short(target: &str) -> &str {
    let own = target.strip_prefix("remora::").unwrap_or(target);
    own.split("::").next().unwrap_or(own)
}

/// Hands each record to the queue; `env_logger` calls `write` once a record.
struct LogPipe;

impl Write for LogPipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(writer) = WRITER.get() {
            writer.submit(bytes, 1);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(target: &str, message: &str) -> String {
        let now = DateTime::from_timestamp_millis(1_795_248_000_123).unwrap();
        let args = format_args!("{message}").to_string();
        line(now, "WARN ", &Record::builder().level(Level::Warn).target(target).args(format_args!("{args}")).build())
    }

    #[test]
    fn lines_name_time_level_and_part() {
        let line = shown("remora::upstream::check", "backend 172.18.0.4:8000 is down: connection refused");
        assert_eq!(
            line,
            "2026-11-21T08:00:00.123Z WARN  upstream: backend 172.18.0.4:8000 is down: connection refused\n"
        );
        for (target, part) in [("reload", "reload"), ("pingora_core::server", "pingora_core"), ("remora", "remora")] {
            assert_eq!(short(target), part);
        }
    }

    #[test]
    fn a_message_cannot_make_a_second_line_or_colour() {
        let line = shown("remora::heal", "output: ok\nERROR heal: \u{1b}[31mforged");
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.contains("ok\\nERROR heal: \\x1B[31mforged"), "{line}");
    }

    fn enabled(level: LevelFilter, target: &str) -> LevelFilter {
        let mut builder = Builder::new();
        for (module, level) in filters(level) {
            builder.filter(module, level);
        }
        let logger = builder.build();
        let speaks = |level: &Level| logger.matches(&Record::builder().level(*level).target(target).build());
        Level::iter().filter(speaks).last().map_or(LevelFilter::Off, |level| level.to_level_filter())
    }

    #[test]
    fn foreign_chatter_is_kept_out() {
        #[rustfmt::skip]
        let rows = [
            (LevelFilter::Info,  "remora::proxy",                 LevelFilter::Info),
            (LevelFilter::Info,  "reload",                        LevelFilter::Info),
            (LevelFilter::Info,  "pingora_core::server",          LevelFilter::Warn),
            (LevelFilter::Info,  "pingora_core::services::listening", LevelFilter::Warn),
            (LevelFilter::Info,  "pingora_core::protocols::http", LevelFilter::Off),
            (LevelFilter::Info,  "pingora_core::connectors",      LevelFilter::Off),
            (LevelFilter::Info,  "pingora_proxy",                 LevelFilter::Off),
            (LevelFilter::Info,  "h2::codec",                     LevelFilter::Off),
            (LevelFilter::Info,  "rustls::msgs::handshake",       LevelFilter::Off),
            (LevelFilter::Debug, "rustls::msgs::handshake",       LevelFilter::Info),
            (LevelFilter::Debug, "pingora_proxy",                 LevelFilter::Info),
            (LevelFilter::Error, "pingora_core::server",          LevelFilter::Error),
            (LevelFilter::Off,   "remora::proxy",                 LevelFilter::Off),
        ];
        for (level, target, expected) in rows {
            assert_eq!(enabled(level, target), expected, "{target} at {level}");
        }
    }

    #[test]
    fn other_crates_get_one_line_a_second() {
        let written = |target: &str, level: Level| {
            let (sender, lines) = std::sync::mpsc::channel();
            let mut builder = Builder::new();
            builder
                .filter(None, LevelFilter::Trace)
                .format(move |_, record| sender.send(record.args().to_string()).map_err(io::Error::other));
            let logger = Logger { inner: builder.build(), foreign: Limiter::default() };
            for _ in 0..50 {
                logger.log(&Record::builder().level(level).target(target).args(format_args!("odd")).build());
            }
            lines.try_iter().count()
        };
        for (target, level, all) in [
            ("pingora_core::listeners", Level::Warn, false),
            ("someone", Level::Info, false),
            ("someone", Level::Debug, true),
            ("remora::upstream", Level::Warn, true),
            ("log", Level::Warn, true),
        ] {
            let count = written(target, level);
            // The second may change meanwhile.
            assert!(if all { count == 50 } else { count <= 2 }, "{count} lines of {target} at {level}");
        }
    }
}
