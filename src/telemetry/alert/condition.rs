//! Everything there is an alert for: in words, with the command that helps.

use std::time::Duration;

use serde_json::{Value, json};

use crate::telemetry::one_line;

/// Most characters of what others said, in a text.
const SAID_MAX: usize = 200;
/// Most places of a refused file that are named.
const PLACES_MAX: usize = 3;

/// Something that needs an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alert {
    /// A sick backend is not healed soon: its budget is used, or no step can run.
    NotHealed {
        /// Of which upstream.
        upstream: String,
        /// Its address.
        backend: String,
        /// Why, in words, with what to type.
        reason: String,
    },
    /// No backend of an upstream may get requests.
    UpstreamDown {
        /// Its name.
        upstream: String,
        /// How many backends it has.
        backends: usize,
        /// What the check of one of them said; empty where nothing is known.
        cause: String,
        /// True where `remora heal` has something to run.
        heals: bool,
    },
    /// A certificate expires soon, or has expired.
    CertificateExpires {
        /// Its file.
        file: String,
        /// The host names in it.
        names: String,
        /// When, in words.
        until: String,
        /// Whole days left; negative once it has expired.
        days: i64,
    },
    /// A reload was refused.
    ReloadRefused {
        /// The file.
        file: String,
        /// What was wrong, as it was reported. May hold lines of the file, which are not passed on.
        report: String,
        /// The generation that stays in force.
        generation: u64,
    },
    /// A log or the journal loses lines.
    CannotWrite {
        /// Which: `access log`, `error log`, or the journal with its path.
        what: String,
        /// What the system said.
        cause: String,
    },
    /// A disk has next to nothing left.
    DiskFull {
        /// A folder on it.
        folder: String,
        /// MiB left for a user without rights.
        free_mib: u64,
    },
}

/// The kinds of [`Alert`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlertKind {
    /// [`Alert::NotHealed`], by upstream and backend with a blank between them.
    NotHealed,
    /// [`Alert::UpstreamDown`], by upstream.
    UpstreamDown,
    /// [`Alert::CertificateExpires`], by file.
    CertificateExpires,
    /// [`Alert::ReloadRefused`]: one at a time, under no name.
    ReloadRefused,
    /// [`Alert::CannotWrite`], by what cannot be written.
    CannotWrite,
    /// [`Alert::DiskFull`], by folder.
    DiskFull,
}

impl AlertKind {
    /// The word in JSON.
    pub(super) fn event(self) -> &'static str {
        match self {
            // The name it had before there were others.
            Self::NotHealed => "gave_up",
            Self::UpstreamDown => "upstream_down",
            Self::CertificateExpires => "certificate_expires",
            Self::ReloadRefused => "reload_refused",
            Self::CannotWrite => "cannot_write",
            Self::DiskFull => "disk_full",
        }
    }

    /// How long a condition must not hold before it is over: what flaps is one condition.
    pub(super) fn calm(self) -> Duration {
        match self {
            Self::CertificateExpires | Self::ReloadRefused => Duration::ZERO,
            Self::UpstreamDown => Duration::from_secs(30),
            Self::NotHealed | Self::CannotWrite | Self::DiskFull => Duration::from_secs(60),
        }
    }
}

impl Alert {
    pub(super) fn kind(&self) -> AlertKind {
        match self {
            Self::NotHealed { .. } => AlertKind::NotHealed,
            Self::UpstreamDown { .. } => AlertKind::UpstreamDown,
            Self::CertificateExpires { .. } => AlertKind::CertificateExpires,
            Self::ReloadRefused { .. } => AlertKind::ReloadRefused,
            Self::CannotWrite { .. } => AlertKind::CannotWrite,
            Self::DiskFull { .. } => AlertKind::DiskFull,
        }
    }

    /// Which of its kind.
    pub(super) fn subject(&self) -> String {
        match self {
            Self::NotHealed { upstream, backend, .. } => format!("{upstream} {backend}"),
            Self::UpstreamDown { upstream, .. } => upstream.clone(),
            Self::CertificateExpires { file, .. } => file.clone(),
            Self::ReloadRefused { .. } => String::new(),
            Self::CannotWrite { what, .. } => what.clone(),
            Self::DiskFull { folder, .. } => folder.clone(),
        }
    }

    /// How bad it is, where the same condition is told again when it grows worse: a certificate at 14, 3 and 1 days, and
    /// once it has expired. 0 where there is nothing to tell.
    pub(super) fn stage(&self) -> u8 {
        match self {
            Self::CertificateExpires { days, .. } => match days {
                ..0 => 4,
                0 => 3,
                1..3 => 2,
                3..14 => 1,
                14.. => 0,
            },
            _ => 1,
        }
    }

    /// What the stage is counted of, where another one begins anew: a renewed certificate.
    pub(super) fn version(&self) -> &str {
        match self {
            Self::CertificateExpires { until, .. } => until,
            _ => "",
        }
    }

    /// False where whoever found it has said more of it in the log already.
    pub(super) fn is_logged_here(&self) -> bool {
        !matches!(self, Self::NotHealed { .. } | Self::ReloadRefused { .. })
    }

    /// One line, with the command that helps.
    pub(super) fn text(&self) -> String {
        let command = self.command();
        match self {
            Self::NotHealed { upstream, backend, reason } => {
                format!("remora does not heal {backend} of {upstream}: {}", one_line(reason))
            }
            Self::UpstreamDown { upstream, backends, cause, heals } => {
                let who = match backends {
                    0 => format!("`{upstream}` has no backend: its names have no address"),
                    1 => format!("the only backend of `{upstream}` is down"),
                    count => format!("all {count} backends of `{upstream}` are down"),
                };
                let why = if cause.is_empty() { String::new() } else { format!(" ({})", said(cause)) };
                let heal = if *heals { format!("; to heal now: `{command}`") } else { String::new() };
                format!("remora: {who}{why}; to see more: `remora status`{heal}")
            }
            Self::CertificateExpires { file, names, until, days } => {
                let when = match days {
                    ..0 => "has expired".to_owned(),
                    0 => "expires within a day".to_owned(),
                    1 => "expires in 1 day".to_owned(),
                    days => format!("expires in {days} days"),
                };
                format!(
                    "remora: the certificate for {} ({}) {when}, on {until}; renew it: `{command}`; new files are taken \
                     without a restart",
                    said(names),
                    one_line(file)
                )
            }
            Self::ReloadRefused { report, generation, .. } => format!(
                "remora: the changed configuration is refused: {}; generation {generation} stays in force; to see why: \
                 `{command}`",
                said(&outline(report))
            ),
            Self::CannotWrite { what, cause } => {
                format!("remora: the {} loses lines: {}; to see what is full: `{command}`", one_line(what), said(cause))
            }
            Self::DiskFull { folder, free_mib } => {
                format!(
                    "remora: the disk of {} is almost full: {free_mib} MiB left; to see more: `{command}`",
                    one_line(folder)
                )
            }
        }
    }

    /// One line that says that it is over.
    pub(super) fn over_text(&self, lasted: Duration) -> String {
        let span = span(lasted);
        match self {
            Self::NotHealed { upstream, backend, .. } => format!("remora: {backend} of {upstream} is up again"),
            Self::UpstreamDown { upstream, .. } => {
                format!("remora: `{upstream}` has a backend again; it had none for {span}")
            }
            Self::CertificateExpires { file, names, .. } => {
                format!("remora: the certificate for {} ({}) is renewed", said(names), one_line(file))
            }
            Self::ReloadRefused { .. } => format!("remora: the configuration is accepted again, after {span}"),
            Self::CannotWrite { what, .. } => format!("remora: the {} is written again, after {span}", one_line(what)),
            Self::DiskFull { folder, .. } => {
                format!("remora: the disk of {} has room again, after {span}", one_line(folder))
            }
        }
    }

    /// What to type.
    pub(super) fn command(&self) -> String {
        let quoted =
            |text: &str| shlex::try_quote(text).map_or_else(|_| "FILE".to_owned(), std::borrow::Cow::into_owned);
        match self {
            Self::NotHealed { upstream, .. } | Self::UpstreamDown { upstream, heals: true, .. } => {
                format!("remora heal {upstream}")
            }
            Self::UpstreamDown { heals: false, .. } => "remora status".to_owned(),
            Self::CertificateExpires { file, .. } if file.contains("/letsencrypt/") => "certbot renew".to_owned(),
            Self::CertificateExpires { file, .. } => format!("openssl x509 -noout -dates -in {}", quoted(file)),
            Self::ReloadRefused { file, report, .. } if has_places(report) => format!("remora check {}", quoted(file)),
            // What is no mistake in the file, such as a setting that needs a restart.
            Self::ReloadRefused { .. } => "remora reload".to_owned(),
            Self::CannotWrite { .. } => "df -h".to_owned(),
            Self::DiskFull { folder, .. } => format!("df -h {}", quoted(folder)),
        }
    }

    /// What a program may want to know by name.
    pub(super) fn fields(&self) -> Value {
        match self {
            Self::NotHealed { upstream, backend, reason } => {
                json!({ "upstream": upstream, "backend": backend, "reason": reason })
            }
            Self::UpstreamDown { upstream, backends, cause, .. } => {
                json!({ "upstream": upstream, "backends": backends, "cause": cause })
            }
            Self::CertificateExpires { file, names, until, days } => {
                json!({ "certificate": file, "names": names, "until": until, "days": days })
            }
            Self::ReloadRefused { file, report, generation } => {
                json!({ "file": file, "problems": outline(report), "generation": generation })
            }
            Self::CannotWrite { what, cause } => json!({ "what": what, "cause": cause }),
            Self::DiskFull { folder, free_mib } => json!({ "folder": folder, "free_mib": free_mib }),
        }
    }
}

/// What of a report may leave the machine: how many problems, and where. The rest shows lines of the file, and what is in
/// them may be secret. A report without places, such as which settings need a restart, is its first line.
fn outline(report: &str) -> String {
    let places: Vec<&str> = places(report).collect();
    let shown = places.iter().take(PLACES_MAX).copied().collect::<Vec<_>>().join(", ");
    match places.len() {
        0 => report.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned(),
        1 => format!("1 problem, at {shown}"),
        count if count <= PLACES_MAX => format!("{count} problems, at {shown}"),
        count => format!("{count} problems, the first at {shown}"),
    }
}

/// Where a report's problems are: `conf/remora.yaml:3:7`.
fn places(report: &str) -> impl Iterator<Item = &str> {
    report.lines().filter_map(|line| line.trim_start().strip_prefix("--> "))
}

fn has_places(report: &str) -> bool {
    places(report).next().is_some()
}

/// What others said, as a piece of one line.
fn said(text: &str) -> String {
    let line = one_line(text);
    match line.char_indices().nth(SAID_MAX) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// `42 s`, `7 min` or `3 h`.
fn span(lasted: Duration) -> String {
    match lasted.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(days: i64) -> Alert {
        let until = "2026-12-01 08:00 UTC".to_owned();
        Alert::CertificateExpires { file: "/etc/tls/a.pem".into(), names: "a.example".into(), until, days }
    }

    #[test]
    fn each_says_what_is_wrong_and_which_command_helps() {
        let down = |backends, heals| Alert::UpstreamDown {
            upstream: "api".into(),
            backends,
            cause: "connection refused".into(),
            heals,
        };
        let report =
            "error: no upstream is named `x`\n --> conf/remora.yaml:3:7\n  |\n3 | a: s3cret\n\n1 problem.".to_owned();
        let refused = |report| Alert::ReloadRefused { file: "my conf/remora.yaml".into(), report, generation: 7 };
        #[rustfmt::skip]
        let rows = [
            (
                Alert::NotHealed { upstream: "api".into(), backend: "10.0.0.1:80".into(), reason: "budget used; to heal now: `remora heal api`".into() },
                "remora does not heal 10.0.0.1:80 of api: budget used; to heal now: `remora heal api`",
            ),
            (down(3, true), "remora: all 3 backends of `api` are down (connection refused); to see more: `remora status`; to heal now: `remora heal api`"),
            (down(1, false), "remora: the only backend of `api` is down (connection refused); to see more: `remora status`"),
            (certificate(13), "remora: the certificate for a.example (/etc/tls/a.pem) expires in 13 days, on 2026-12-01 08:00 UTC; renew it: `openssl x509 -noout -dates -in /etc/tls/a.pem`; new files are taken without a restart"),
            (refused(report), "remora: the changed configuration is refused: 1 problem, at conf/remora.yaml:3:7; generation 7 stays in force; to see why: `remora check 'my conf/remora.yaml'`"),
            (refused("threads: changed from 2 to 4\nThis needs a restart".into()), "remora: the changed configuration is refused: threads: changed from 2 to 4; generation 7 stays in force; to see why: `remora reload`"),
            (Alert::CannotWrite { what: "access log".into(), cause: "no space left on device".into() }, "remora: the access log loses lines: no space left on device; to see what is full: `df -h`"),
            (Alert::DiskFull { folder: "/var/lib/remora".into(), free_mib: 12 }, "remora: the disk of /var/lib/remora is almost full: 12 MiB left; to see more: `df -h /var/lib/remora`"),
        ];
        for (alert, text) in rows {
            assert_eq!(alert.text(), text);
            assert!(alert.text().contains(&alert.command()), "{alert:?}");
            assert!(!alert.over_text(Duration::from_secs(90)).is_empty());
        }
    }

    #[test]
    fn a_certificate_grows_worse() {
        let stages = [20, 14, 13, 3, 2, 1, 0, -1].map(|days| certificate(days).stage());
        assert_eq!(stages, [0, 0, 1, 1, 2, 2, 3, 4]);
    }

    #[test]
    fn what_others_say_is_one_short_line() {
        let alert = Alert::UpstreamDown {
            upstream: "db".into(),
            backends: 1,
            cause: format!("a\nb\u{1b}[2J{}", "x".repeat(5_000)),
            heals: false,
        };
        assert!(!alert.text().contains(['\n', '\u{1b}']) && alert.text().len() < 400, "{}", alert.text());
    }
}
