//! What ends on its own time and is heard of later: a look at a container, a ladder, a command.

use crate::docker::ContainerId;
use crate::types::UpstreamName;

use super::gather::Findings;
use super::ladder::LadderReport;
use super::world::Key;

/// What came of something that was under way.
pub(super) enum HealEvent {
    Looked(Key, Findings),
    Ended(Key, ContainerId, LadderReport),
    /// A container that had been stopped answers again, unless it was stopped once more since.
    Back(Key, u64),
    /// An operator's command has ended; these ladders were part of it.
    CommandDone(UpstreamName, Vec<(Key, ContainerId, LadderReport)>),
}
