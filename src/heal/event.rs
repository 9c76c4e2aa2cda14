//! What ends on its own time and is heard of later: a look at a container, a ladder, a command.

use crate::docker::ContainerId;
use crate::types::UpstreamName;

use super::attempt::Report;
use super::patient::Key;
use super::survey::Findings;

/// What came of something that was under way.
pub(super) enum Event {
    Looked(Key, Findings),
    Ended(Key, ContainerId, Report),
    /// A container that had been stopped answers again, unless it was stopped once more since.
    Back(Key, u64),
    /// An operator's command has ended; these ladders were part of it.
    ErrandDone(UpstreamName, Vec<(Key, ContainerId, Report)>),
}
