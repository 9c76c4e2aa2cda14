//! A command that ran past its deadline: Docker cannot end it, so it may still run.

/// A command that ran past its deadline.
#[derive(Debug, Clone)]
pub(super) struct Overdue {
    /// By what Docker knows it.
    pub exec_id: String,
    /// What messages call it.
    pub command: String,
}
