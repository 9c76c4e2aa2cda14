//! Healing without Docker's socket in the edge: a second process, `remora sidecar`, holds it, and the edge asks that one.
//!
//! What the edge may say is closed (`wire`): heal *upstream* on *backend*, step *n*. What is done comes from the sidecar's own
//! file, in whose container from Docker, and how often from the sidecar's own counters (`gate`, `ledger`). So whoever takes
//! over the edge can cause the configured heals at the configured rate, and nothing else.

mod books;
mod client;
mod desk;
mod failure;
mod fitting;
mod gate;
mod ledger;
mod line;
mod listener;
mod rate;
mod rules;
mod wire;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::docker::Docker;
use crate::types::OwnedTask;

pub use client::Sidecar;
pub use ledger::LedgerError;
pub use listener::{BindError, Bound, bind};
pub use rules::Rules;
pub use wire::Standing;

use books::Books;
use desk::Desk;
use listener::SocketFile;

/// How often it is looked whether the last step has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A sidecar at work. It takes nothing on any more once this is dropped.
#[must_use = "dropping this ends the sidecar"]
pub struct Service {
    desk: Arc<Desk>,
    listening: OwnedTask,
    file: SocketFile,
}

impl Service {
    /// Answers on a socket. The counters are kept in `folder`, which must be nobody else's.
    ///
    /// # Errors
    /// When the folder cannot be written, or another sidecar uses it.
    pub fn start(docker: Docker, rules: Arc<Rules>, bound: Bound, folder: &Path) -> Result<Self, LedgerError> {
        let desk = Arc::new(Desk::new(docker, rules, Books::open(folder)?));
        let Bound { listener, file } = bound;
        Ok(Self { listening: OwnedTask::spawn(listener::run(listener, Arc::clone(&desk))), desk, file })
    }

    /// Takes nothing on any more and waits for steps that run, for `grace` at most.
    pub async fn end(self, grace: Duration) {
        let Self { desk, listening, file } = self;
        drop((listening, file));
        let idle = async {
            while desk.running() != 0 {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        if tokio::time::timeout(grace, idle).await.is_err() {
            log::warn!("stopping while a step runs; it is counted, and ends by itself in its container");
        }
    }
}
