//! Healing without Docker's socket in the edge: a second process, `remora sidecar`, holds it, and the edge asks that one.
//!
//! What the edge may say is closed (`wire`): heal *upstream* on *backend*, step *n*. What is done comes from the sidecar's own
//! file, in whose container from Docker, and how often from the sidecar's own counters (`gate`, `counter_file`). So whoever takes
//! over the edge can cause the configured heals at the configured rate, and nothing else.

mod client;
mod counter_file;
mod counters;
mod failure;
mod fitting;
mod gate;
mod line;
mod listener;
mod rate;
mod request_handler;
mod rules;
mod wire;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::docker::Docker;
use crate::types::OwnedTask;

pub use client::Sidecar;
pub use counter_file::CounterFileError;
pub use listener::{BoundSocket, SocketError, bind};
pub use rules::Rules;
pub use wire::SidecarStatus;

use counters::Counters;
use listener::SocketFile;
use request_handler::RequestHandler;

/// How often it is looked whether the last step has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A sidecar at work. It takes nothing on any more once this is dropped.
#[must_use = "dropping this ends the sidecar"]
pub struct Service {
    handler: Arc<RequestHandler>,
    listening: OwnedTask,
    file: SocketFile,
}

impl Service {
    /// Answers on a socket. The counters are kept in `folder`, which must be nobody else's.
    ///
    /// # Errors
    /// When the folder cannot be written, or another sidecar uses it.
    pub fn start(
        docker: Docker,
        rules: Arc<Rules>,
        bound: BoundSocket,
        folder: &Path,
    ) -> Result<Self, CounterFileError> {
        let handler = Arc::new(RequestHandler::new(docker, rules, Counters::open(folder)?));
        let BoundSocket { listener, file } = bound;
        Ok(Self { listening: OwnedTask::spawn(listener::run(listener, Arc::clone(&handler))), handler, file })
    }

    /// Takes nothing on any more and waits for steps that run, for `grace` at most.
    pub async fn end(self, grace: Duration) {
        let Self { handler, listening, file } = self;
        drop((listening, file));
        let idle = async {
            while handler.running() != 0 {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        if tokio::time::timeout(grace, idle).await.is_err() {
            log::warn!("stopping while a step runs; it is counted, and ends by itself in its container");
        }
    }
}
