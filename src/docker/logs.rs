//! The last lines of a container's log, for the record of a heal.

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use futures_util::StreamExt;

use super::client::Docker;
use super::container::ContainerRef;
use super::output::Tail;

/// Lines asked for; what is kept of them is bounded in bytes as well.
const LINES: &str = "20";
/// How long they may take. They are nice to have.
const LIMIT: Duration = Duration::from_secs(1);

impl Docker {
    /// The last lines `container` has logged; empty where its log driver keeps none or Docker does not answer.
    pub async fn logs(&self, container: &ContainerRef) -> String {
        let id = container.id.as_str().to_owned();
        let options = LogsOptions { stdout: true, stderr: true, tail: LINES.to_owned(), ..Default::default() };
        let read = |docker: bollard::Docker| async move {
            let mut tail = Tail::default();
            let mut pieces = Box::pin(docker.logs(&id, Some(options)));
            while let Some(piece) = pieces.next().await {
                match piece? {
                    LogOutput::StdOut { message } | LogOutput::StdErr { message } | LogOutput::Console { message } => {
                        tail.push(&message);
                    }
                    LogOutput::StdIn { .. } => {}
                }
            }
            Ok(tail.into_text())
        };
        // Asked without the breaker's ear: that a log is slow says nothing about the daemon.
        self.ask_aside(LIMIT, read).await.unwrap_or_default()
    }
}
