//! Repairs sick backends inside their containers: when (`policy`, pure), what (`preset`), how (`ladder`), and what came of
//! it (`journal`). Never marks anything healthy: the check does.

mod commands;
mod container_driver;
mod container_events;
mod container_names;
mod decisions;
mod drill;
mod event;
#[cfg(test)]
mod fakes;
mod gather;
mod healer;
mod journal;
mod ladder;
mod passes;
mod planned_stops;
pub mod policy;
mod preset;
mod restore;
mod shared_causes;
mod state;
mod step_check;
#[cfg(test)]
mod test_loop;
mod tools;
mod world;

pub use commands::{CommandResult, HealHandle};
pub use container_driver::{BackendRef, ContainerDriver, Order, StepDone, run_step, step_place};
pub use container_names::ContainerNames;
pub use drill::DrillReport;
pub use healer::Healer;
pub use journal::{
    AskedBy, ENTRIES_MAX, IdleReason, Journal, JournalEntry, LadderOutcome, StepEntry, StepResult, Totals,
    journal_doubt, journal_folder, journal_name, journal_path,
};
pub use step_check::{Feasibility, StepFinding, check_steps};
pub use tools::{AtWork, HealTools};
pub use world::{HealPool, HealTarget, HealWorld, Tally};
