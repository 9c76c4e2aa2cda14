//! One line of the history: a reload, a start, or a text that a rollback replaced. Holds no value of the file.

use serde::{Deserialize, Serialize};

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HistoryResult {
    /// It came into force.
    Accepted,
    /// It did not; what was in force stayed.
    Refused,
    /// It was in the files and never in force when a rollback replaced it.
    Replaced,
}

impl HistoryResult {
    /// The word shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Replaced => "replaced",
        }
    }
}

/// A reload, as `remora history` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The number that `remora rollback` takes; it only grows, also over restarts.
    pub id: u64,
    /// When it ended. RFC 3339, UTC.
    pub at: String,
    /// What asked for it: `start`, `file`, `signal`, `admin` or `rollback`.
    pub origin: String,
    /// What came of it.
    pub result: HistoryResult,
    /// Of the configuration in force afterwards; counted from 1 in each process.
    pub generation: u64,
    /// What differs from the configuration before, or why it was refused, in one line.
    pub differences: String,
    /// The entry that a rollback brought back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back_to: Option<u64>,
}

/// An entry, and what is true of it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownEntry {
    /// The entry.
    #[serde(flatten)]
    pub entry: HistoryEntry,
    /// True for the one whose configuration is in force.
    pub in_force: bool,
    /// True where its texts are still kept, so that `remora rollback` can bring it back.
    pub kept: bool,
}
