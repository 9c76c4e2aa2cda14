//! Runs a command in a container: arguments only, never privileged, without a terminal, under a deadline, output bounded.
//!
//! Docker cannot end a command it has started, so each runs under the container's own `timeout` where there is one, and a
//! command that is overdue all the same keeps others out of its container until Docker says that it ended.

use std::time::{Duration, Instant};

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecResults};
use futures_util::StreamExt;
use parking_lot::Mutex;

use super::client::{CALL_LIMIT, Docker};
use super::container::{ContainerId, ContainerRef, ContainerState};
use super::error::{DockerError, ExecError, one_line};
use super::output::Tail;
use super::overdue::OverdueCommand;

/// How much longer than the container's own `timeout` the answer is waited for.
const MARGIN: Duration = Duration::from_secs(2);
/// Programs that only send a signal, or look for whom. They end at once, and `pkill -f` would find its own arguments under
/// `timeout`.
const SIGNALLERS: [&str; 6] = ["kill", "pkill", "pgrep", "killall", "skill", "timeout"];
/// Exit codes of shells and Docker for a program that cannot be run, and of one that was killed.
const NOT_EXECUTABLE: i64 = 126;
const NOT_FOUND: i64 = 127;
const KILLED: i64 = 137;

/// A command with its circumstances.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Command {
    /// Program and arguments; never passed to a shell.
    pub argv: Vec<String>,
    /// User inside the container; `None` is the container's own.
    pub user: Option<String>,
    /// `NAME=value`, beside the container's own.
    pub env: Vec<String>,
}

impl Command {
    /// A command for the container's own user and environment.
    pub fn new(argv: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// The same command as another user of the container.
    pub fn by(self, user: impl Into<String>) -> Self {
        Self { user: Some(user.into()), ..self }
    }

    /// The program and up to three arguments, for messages.
    pub fn label(&self) -> String {
        let mut shown: Vec<String> = self.argv.iter().take(4).map(|word| one_line(word)).collect();
        if 4 < self.argv.len() {
            shown.push("…".into());
        }
        shown.join(" ").chars().take(80).collect()
    }
}

/// How a command ended. Whether it helped is for the check to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecOutcome {
    /// Exit code.
    pub code: i64,
    /// The last 4 KiB of its standard output.
    pub stdout: String,
    /// The last 4 KiB of its standard error.
    pub stderr: String,
    /// How long it took, the way through the daemon included.
    pub took: Duration,
}

impl Docker {
    /// Runs `command` in `container` and waits for its end, for `limit` at most.
    ///
    /// # Errors
    /// When it cannot be run there, or does not end in time. An exit code other than 0, 126 and 127 is an outcome.
    pub async fn exec(
        &self,
        container: &ContainerRef,
        command: &Command,
        limit: Duration,
    ) -> Result<ExecOutcome, ExecError> {
        check(command)?;
        self.wait_for_overdue(container).await?;
        if !is_wrapped(command) || self.without_timeout.lock().contains(&container.id) {
            return self.exec_as_is(container, command, command, limit).await;
        }
        let wrapped = under_timeout(command, limit);
        match self.exec_as_is(container, &wrapped, command, limit).await {
            Err(ExecError::NotFound { command: missing, .. }) if missing == "timeout" => {
                self.remember_without_timeout(&container.id);
                self.exec_as_is(container, command, command, limit).await
            }
            other => other,
        }
    }

    async fn exec_as_is(
        &self,
        container: &ContainerRef,
        command: &Command,
        shown: &Command,
        limit: Duration,
    ) -> Result<ExecOutcome, ExecError> {
        let started = Instant::now();
        let refused = |error| from_docker(error, container, shown);
        let exec_id = self.create_exec(container, command).await.map_err(refused)?;
        let output = Mutex::new((Tail::default(), Tail::default()));
        let wait = limit + MARGIN;
        let run = async {
            self.follow(&exec_id, &output).await?;
            match self.exit_code(&exec_id).await {
                // It ran, and its container ended with it: Docker forgets the commands of such.
                Err(DockerError::Refused { status: 404 | 409, .. }) => Ok(Some(KILLED)),
                other => other,
            }
        };
        let ended = tokio::time::timeout(wait, run).await;
        let (stdout, stderr) = output.into_inner();
        let (stdout, stderr) = (stdout.into_text(), stderr.into_text());
        let overran = |output: String| ExecError::TimedOut {
            command: shown.label(),
            container: container.name.clone(),
            limit,
            output,
        };
        let code = match ended {
            Ok(Ok(Some(code))) => code,
            Ok(Err(error)) if !error.opens_breaker() => return Err(refused(error)),
            // It may have been started before the daemon fell silent.
            Ok(Err(_) | Ok(None)) | Err(_) => {
                let command = OverdueCommand { exec_id, command: shown.label() };
                self.overdue.lock().insert(container.id.clone(), command);
                return Err(overran(if stderr.is_empty() { stdout } else { stderr }));
            }
        };
        let took = started.elapsed();
        if code == KILLED && limit <= took && command != shown {
            return Err(overran(if stderr.is_empty() { stdout } else { stderr }));
        }
        settle(container, shown, ExecOutcome { code, stdout, stderr, took })
    }

    async fn create_exec(&self, container: &ContainerRef, command: &Command) -> Result<String, DockerError> {
        let id = container.id.as_str().to_owned();
        let options = CreateExecOptions {
            attach_stdin: Some(false),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(false),
            privileged: Some(false),
            cmd: Some(command.argv.clone()),
            user: command.user.clone(),
            env: (!command.env.is_empty()).then(|| command.env.clone()),
            ..Default::default()
        };
        let created = self.call(CALL_LIMIT, |docker| async move { docker.create_exec(&id, options).await }).await?;
        let plain = !created.id.is_empty() && created.id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if plain { Ok(created.id) } else { Err(DockerError::Malformed("the id of an exec".into())) }
    }

    /// Starts the command and reads what it says until it ends; the caller sets the deadline of the reading.
    async fn follow(&self, exec_id: &str, output: &Mutex<(Tail, Tail)>) -> Result<(), DockerError> {
        let id = exec_id.to_owned();
        let started = self.call(CALL_LIMIT, |docker| async move { docker.start_exec(&id, None).await }).await?;
        let StartExecResults::Attached { output: mut said, input: _input } = started else {
            return Ok(());
        };
        while let Some(piece) = said.next().await {
            let Ok(piece) = piece else {
                break; // The exit code says how it ended.
            };
            let (stdout, stderr) = &mut *output.lock();
            match piece {
                LogOutput::StdErr { message } => stderr.push(&message),
                LogOutput::StdOut { message } | LogOutput::StdIn { message } | LogOutput::Console { message } => {
                    stdout.push(&message);
                }
            }
        }
        Ok(())
    }

    /// The code of a command whose output has ended; `None` when it runs on with its output closed.
    async fn exit_code(&self, exec_id: &str) -> Result<Option<i64>, DockerError> {
        for pause in [5, 20, 50, 100, 200, 400, 800] {
            let id = exec_id.to_owned();
            let answer = self.call(CALL_LIMIT, |docker| async move { docker.inspect_exec(&id).await }).await?;
            if let (Some(false), Some(code)) = (answer.running, answer.exit_code) {
                return Ok(Some(code));
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        Ok(None)
    }

    /// Refuses while an earlier command still runs in the container.
    async fn wait_for_overdue(&self, container: &ContainerRef) -> Result<(), ExecError> {
        let Some(overdue) = self.overdue.lock().get(&container.id) else {
            return Ok(());
        };
        let id = overdue.exec_id.clone();
        match self.call(CALL_LIMIT, |docker| async move { docker.inspect_exec(&id).await }).await {
            Ok(answer) if answer.running == Some(true) => {
                Err(ExecError::Busy { command: overdue.command, container: container.name.clone() })
            }
            Ok(_) | Err(DockerError::Refused { status: 404, .. }) => {
                self.overdue.lock().remove(&container.id);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn remember_without_timeout(&self, id: &ContainerId) {
        let mut known = self.without_timeout.lock();
        if 1024 <= known.len() {
            known.clear();
        }
        known.insert(id.clone());
    }
}

fn check(command: &Command) -> Result<(), ExecError> {
    let words = command.argv.iter().chain(&command.env).chain(&command.user);
    if command.argv.first().is_none_or(String::is_empty) {
        return Err(ExecError::BadCommand("it is empty".into()));
    }
    if words.clone().any(|word| word.contains('\0')) {
        return Err(ExecError::BadCommand(format!("`{}` contains a NUL byte", command.label())));
    }
    Ok(())
}

fn is_wrapped(command: &Command) -> bool {
    let program = command.argv.first().and_then(|program| program.rsplit('/').next()).unwrap_or_default();
    !SIGNALLERS.contains(&program)
}

/// Whole seconds: older `timeout`s know no others.
fn under_timeout(command: &Command, limit: Duration) -> Command {
    let seconds = limit.as_millis().div_ceil(1000).max(1).to_string();
    let argv = ["timeout", "-s", "KILL", &seconds].into_iter().map(Into::into).chain(command.argv.iter().cloned());
    Command { argv: argv.collect(), ..command.clone() }
}

/// Turns the two codes that mean "was never run" into errors. Docker 20.10 reports its own failure on the output.
fn settle(container: &ContainerRef, command: &Command, outcome: ExecOutcome) -> Result<ExecOutcome, ExecError> {
    match outcome.code {
        NOT_FOUND | NOT_EXECUTABLE => {
            let said = format!("{} {}", outcome.stdout, outcome.stderr);
            let fallback = if outcome.code == NOT_FOUND { Unrunnable::NotFound } else { Unrunnable::NotExecutable };
            Err(unrunnable(container, command, &said, unrunnable_of(&said).unwrap_or(fallback)))
        }
        _ => Ok(outcome),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unrunnable {
    NotFound,
    NotExecutable,
}

/// What runc says, through whichever door it comes.
fn unrunnable_of(said: &str) -> Option<Unrunnable> {
    let said = said.to_ascii_lowercase();
    if said.contains("executable file not found") || said.contains("no such file or directory") {
        Some(Unrunnable::NotFound)
    } else if said.contains("permission denied") {
        Some(Unrunnable::NotExecutable)
    } else {
        None
    }
}

fn unrunnable(container: &ContainerRef, command: &Command, said: &str, kind: Unrunnable) -> ExecError {
    let program = match command.argv.first() {
        // Docker names the program it looked for, which may be our `timeout`.
        Some(_) if said.contains("exec: \"timeout\"") => "timeout".to_owned(),
        Some(program) => one_line(program),
        None => String::new(),
    };
    let container = container.name.clone();
    match kind {
        Unrunnable::NotFound => ExecError::NotFound { command: program, container },
        Unrunnable::NotExecutable => ExecError::NotExecutable { command: program, container },
    }
}

/// What the daemon's refusals mean for a command.
pub(super) fn from_docker(error: DockerError, container: &ContainerRef, command: &Command) -> ExecError {
    let DockerError::Refused { status, message } = &error else {
        return error.into();
    };
    let not_running = |state| ExecError::NotRunning { container: container.name.clone(), state };
    match status {
        404 => ExecError::Gone(container.name.clone()),
        409 if message.contains("paused") => not_running(ContainerState::Paused),
        409 if message.contains("restarting") => not_running(ContainerState::Restarting),
        409 => not_running(ContainerState::Exited),
        400 | 500 => match unrunnable_of(message) {
            Some(kind) => unrunnable(container, command, message, kind),
            None if message.contains("is not running") => not_running(ContainerState::Exited),
            None => error.into(),
        },
        _ => error.into(),
    }
}

#[cfg(test)]
#[path = "exec_tests.rs"]
mod tests;
