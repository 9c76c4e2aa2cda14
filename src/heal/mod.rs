//! Repairs sick backends inside their containers: when (`policy`, pure), what (`preset`), how (`attempt`), and what came of
//! it (`journal`). Never marks anything healthy: the check does.

mod attempt;
mod examine;
#[cfg(test)]
mod fakes;
mod healer;
mod journal;
mod patient;
pub mod policy;
mod preset;
mod surgeon;
mod survey;

pub use examine::{Finding, Verdict, examine};
pub use healer::{HealTools, Healer};
pub use journal::{ENTRIES_MAX, Entry, Idle, Journal, Outcome, StepEntry, Totals};
pub use patient::{Patient, Pool, Ward};
pub use surgeon::{Done, Order, Surgeon, Whom, run_step};
