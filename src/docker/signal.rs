//! Signals to PID 1 and restarts. A signal goes by exec; by the API only where that keeps the restart policy armed.
//!
//! After `POST /containers/ID/kill` a container whose policy is `unless-stopped`, or `always` without a STOPSIGNAL, stays
//! down when it next ends (moby#41302): Docker takes every signal of the API for the wish to stop it.

use std::time::{Duration, Instant};

use bollard::query_parameters::{KillContainerOptions, RestartContainerOptions};

use crate::config::model::Signal;

use super::client::{CALL_LIMIT, Docker};
use super::container::{ContainerRef, RestartPolicy};
use super::error::{DockerError, ExecError};
use super::exec::{Command, ExecOutcome, from_docker};

/// How a signal reached PID 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SentBy {
    /// By a `kill` inside the container.
    Exec(ExecOutcome),
    /// By the API, which leaves no exit code.
    Api,
}

impl Docker {
    /// Sends `signal` to PID 1 of `container`.
    ///
    /// # Errors
    /// When it could not be sent; also when only the API could send it and that would disarm the restart policy.
    pub async fn signal(&self, container: &ContainerRef, signal: Signal, limit: Duration) -> Result<SentBy, ExecError> {
        // The shell's builtin first: slim images have a shell and no `kill`.
        let tries = [
            Command::new(["sh", "-c", "kill -s \"$1\" 1", "sh", signal.name()]),
            Command::new(["kill", "-s", signal.name(), "1"]),
        ];
        for command in &tries {
            match self.exec(container, command, limit).await {
                Err(ExecError::NotFound { .. } | ExecError::NotExecutable { .. }) => {}
                other => return other.map(SentBy::Exec),
            }
        }
        if !api_keeps_policy(container.restart_policy, container.stop_signal.as_deref(), signal) {
            return Err(ExecError::WouldDisarm { container: container.name.clone(), signal: signal.name().to_owned() });
        }
        let id = container.id.as_str().to_owned();
        let options = KillContainerOptions { signal: format!("SIG{}", signal.name()) };
        self.call(CALL_LIMIT, |docker| async move { docker.kill_container(&id, Some(options)).await })
            .await
            .map_err(|error| from_docker(error, container, &Command::new(["kill"])))?;
        Ok(SentBy::Api)
    }

    /// Restarts the whole container: its stop signal, `grace` until KILL, then a start. The policy stays armed.
    ///
    /// # Errors
    /// When Docker refuses, or the container does not come back in time.
    pub async fn restart(&self, container: &ContainerRef, grace: Duration) -> Result<Duration, ExecError> {
        // Not where the daemon is known to be away: then nothing is asked.
        self.ping().await?;
        let started = Instant::now();
        let id = container.id.as_str().to_owned();
        let seconds = i32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
        let options = RestartContainerOptions { t: Some(seconds), ..Default::default() };
        let limit = grace + Duration::from_secs(30);
        self.call(limit, |docker| async move { docker.restart_container(&id, Some(options)).await }).await.map_err(
            |error| match error {
                // Asked, and most likely done: it counts.
                DockerError::Silent(_) | DockerError::Malformed(_) => ExecError::TimedOut {
                    command: "restart".to_owned(),
                    container: container.name.clone(),
                    limit,
                    output: String::new(),
                },
                other => from_docker(other, container, &Command::new(["restart"])),
            },
        )?;
        // What ran in it is gone.
        self.overdue.lock().remove(&container.id);
        Ok(started.elapsed())
    }
}

/// True when the policy still holds after a signal by the API, as moby's `killWithSignal` and restart manager have it.
fn api_keeps_policy(policy: RestartPolicy, stop_signal: Option<&str>, signal: Signal) -> bool {
    let is_stop = match stop_signal {
        None => true,
        Some(text) => {
            let name = text.trim().to_ascii_uppercase();
            let name = name.strip_prefix("SIG").unwrap_or(&name);
            // A number is not worth a table: taken for the same signal, which only makes us more careful.
            signal == Signal::Kill || name == signal.name() || name.bytes().all(|byte| byte.is_ascii_digit())
        }
    };
    match policy {
        RestartPolicy::No => true,
        RestartPolicy::Always | RestartPolicy::OnFailure => !is_stop,
        RestartPolicy::UnlessStopped => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_may_signal_only_where_the_policy_survives_it() {
        use RestartPolicy::{Always, No, OnFailure, UnlessStopped};
        #[rustfmt::skip]
        let rows = [
            (No,            None,             Signal::Hup,  true),
            (UnlessStopped, None,             Signal::Hup,  false),
            (UnlessStopped, Some("SIGTERM"),  Signal::Hup,  false),
            (Always,        None,             Signal::Hup,  false),
            (Always,        Some("SIGTERM"),  Signal::Hup,  true),
            (Always,        Some("term"),     Signal::Term, false),
            (Always,        Some("SIGTERM"),  Signal::Kill, false),
            (Always,        Some("15"),       Signal::Hup,  false),
            (OnFailure,     None,             Signal::Hup,  false),
            (OnFailure,     Some("SIGQUIT"),  Signal::Hup,  true),
        ];
        for (policy, stop, signal, keeps) in rows {
            assert_eq!(api_keeps_policy(policy, stop, signal), keeps, "{policy:?}, STOPSIGNAL {stop:?}, {signal:?}");
        }
    }
}
