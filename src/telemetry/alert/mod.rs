//! The one way in which operators are told that something needs them: a line in the log, and a post to their webhook. Each
//! condition is told once when it begins and once when it is over; nobody who tells of one waits for anything.

mod condition;
mod ledger;
mod notice;
mod webhook;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use serde_json::Value;

use crate::config::model::{AlertFormat, AlertSpec};

pub use condition::{Alert, AlertKind};

use ledger::{Ledger, Over};
use notice::Notice;
use webhook::Webhook;

/// What the log calls it.
const TARGET: &str = "remora::alert";

/// Where alerts go. Clones share everything; the default has the log alone.
#[derive(Clone, Default)]
pub struct Alerts(Arc<AlertsState>);

#[derive(Default)]
struct AlertsState {
    ledger: Mutex<Ledger>,
    receiver: Option<Receiver>,
}

/// Who is told beside the log.
struct Receiver {
    webhook: Webhook,
    format: AlertFormat,
    /// The name of this machine or container.
    host: String,
}

impl Alerts {
    /// Starts a thread that posts to the webhook, where there is one; it ends with the last clone of this.
    ///
    /// # Errors
    /// When the system has no thread.
    pub fn start(spec: Option<&AlertSpec>) -> io::Result<Self> {
        let receiver = match spec {
            Some(AlertSpec { webhook, format }) => {
                Some(Receiver { webhook: Webhook::start(webhook.clone())?, format: *format, host: host() })
            }
            None => None,
        };
        Ok(Self(Arc::new(AlertsState { ledger: Mutex::default(), receiver })))
    }

    /// Tells of a condition, unless it has been told of and is not over, or grew no worse; true when it was told.
    pub fn begin(&self, alert: &Alert) -> bool {
        let is_news = self.0.ledger.lock().begin(alert, Instant::now());
        if is_news {
            let text = alert.text();
            if alert.is_logged_here() {
                log::error!(target: TARGET, "{text}");
            }
            self.post(&Notice::of_alert(alert));
        }
        is_news
    }

    /// A condition does not hold any more. That it is over is told once it has been so for a while.
    pub fn end(&self, kind: AlertKind, subject: &str) {
        self.0.ledger.lock().end(kind, subject, Instant::now());
    }

    /// A condition is of no interest any more, such as that of an upstream that was removed.
    pub fn forget(&self, kind: AlertKind, subject: &str) {
        self.0.ledger.lock().forget(kind, subject);
    }

    /// Tells what is over. To be called every second or so.
    pub fn settle(&self) {
        let (over, unposted) = {
            let mut ledger = self.0.ledger.lock();
            let now = Instant::now();
            (ledger.take_over(now), ledger.take_unposted(now))
        };
        for Over { alert, lasted } in over {
            if alert.is_logged_here() {
                log::info!(target: TARGET, "{}", alert.over_text(lasted));
            }
            self.post(&Notice::of_over(&alert, lasted));
        }
        if let Some(count) = unposted {
            self.send(&Notice::of_unposted(count));
        }
    }

    /// Posts that a heal ended. Not limited here: the file limits heals.
    pub fn heal_ended(&self, text: String, heal: &Value) {
        self.send(&Notice::of_heal(text, heal));
    }

    /// Posts one of a limited number in ten minutes; beyond it they are counted.
    fn post(&self, notice: &Notice) {
        if self.0.receiver.is_some() && self.0.ledger.lock().may_post(Instant::now()) {
            self.send(notice);
        }
    }

    fn send(&self, notice: &Notice) {
        if let Some(Receiver { webhook, format, host }) = &self.0.receiver {
            webhook.post(notice.body(*format, host));
        }
    }
}

impl fmt::Debug for Alerts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alerts").finish_non_exhaustive()
    }
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "unknown host".to_owned() } else { super::one_line(name) }
}
