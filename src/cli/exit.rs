//! How a command ends, and by which number scripts know it.

use std::process::ExitCode;

/// How a command ended. Scripts depend on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: it failed while running, or no edge runs.
    Failed,
    /// 2: the configuration was refused.
    Refused,
    /// 64: the command was not understood.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Refused => 2,
            Exit::Usage => 64,
        })
    }
}
