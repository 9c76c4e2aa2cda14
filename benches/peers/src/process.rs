//! Child processes on given cores, ended when dropped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::account;

/// How long a process may take to end once asked to.
const END_WITHIN: Duration = Duration::from_secs(10);

/// A command that runs on the given cores only; on any where there are none given.
pub fn pinned(cores: Option<&str>, program: &Path) -> Command {
    match cores {
        None => Command::new(program),
        Some(cores) => {
            let mut command = Command::new("taskset");
            command.args(["-c", cores]).arg(program);
            command
        }
    }
}

/// The same for a process that does not end by itself: it is asked to end when this process is gone, however it went.
pub fn kept(cores: Option<&str>, program: &Path) -> Command {
    let plain = pinned(cores, program);
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]).arg(plain.get_program()).args(plain.get_args());
    command
}

/// A process that is asked to end when this is dropped, and made to if it does not.
#[derive(Debug)]
pub struct Running {
    child: Child,
    errors: PathBuf,
    output: PathBuf,
}

impl Running {
    /// Starts a process. Its output goes to files in `folder`.
    pub fn start(command: &mut Command, folder: &Path, name: &str) -> anyhow::Result<Self> {
        let errors = folder.join(format!("{name}.err"));
        let output = folder.join(format!("{name}.out"));
        command.stdin(Stdio::null()).stdout(File::create(&output)?).stderr(File::create(&errors)?);
        let child = command.spawn().with_context(|| format!("{} does not start", command.get_program().display()))?;
        Ok(Self { child, errors, output })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// True once it has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// What it said on standard output so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// What it said on standard error, or on standard output: its first error, else its last line.
    pub fn last_words(&self) -> String {
        let texts = [&self.errors, &self.output].into_iter().filter_map(|file| std::fs::read_to_string(file).ok());
        let mut lines = texts.filter_map(|text| {
            let error = text.lines().find(|line| line.to_ascii_lowercase().contains("error"));
            error.or_else(|| text.lines().rfind(|line| !line.trim().is_empty())).map(str::to_owned)
        });
        lines.next().map_or_else(|| "it said nothing".to_owned(), |line| line.chars().take(200).collect())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.has_ended() {
            return;
        }
        let tree = account::tree(self.id());
        signal("TERM", &[self.id()]);
        let start = Instant::now();
        while !self.has_ended() && start.elapsed() < END_WITHIN {
            std::thread::sleep(Duration::from_millis(20));
        }
        if !self.has_ended() {
            signal("KILL", &tree);
            drop(self.child.wait());
        }
    }
}

fn signal(name: &str, pids: &[u32]) {
    let pids = pids.iter().map(u32::to_string);
    // One that has ended meanwhile is no failure.
    drop(Command::new("kill").arg(format!("-{name}")).args(pids).stderr(Stdio::null()).status());
}
