//! Repairs sick backends inside their containers: when (`policy`, pure), what (`preset`), how (`attempt`), and what came of
//! it (`journal`). Never marks anything healthy: the check does.

mod attempt;
#[cfg(test)]
mod bench;
mod container_events;
mod drill;
mod event;
mod examine;
#[cfg(test)]
mod fakes;
mod hand;
mod healer;
mod journal;
mod patient;
mod plans;
pub mod policy;
mod preset;
mod proof;
mod restore;
mod rounds;
mod state;
mod surgeon;
mod survey;
mod tools;

pub use drill::Drilled;
pub use examine::{Finding, Verdict, examine};
pub use hand::{HealHandle, Work};
pub use healer::Healer;
pub use journal::{AskedBy, ENTRIES_MAX, Entry, Idle, Journal, Outcome, StepEntry, StepResult, Totals};
pub use patient::{Patient, Pool, Tally, Ward};
pub use surgeon::{Done, Order, Surgeon, Whom, run_step};
pub use tools::{AtWork, HealTools};
