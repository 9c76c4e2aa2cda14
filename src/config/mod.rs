//! The user's file: text → raw (private) → check → model. No clock, no network.

mod changed;
mod check;
mod disclose;
mod env;
mod habits;
mod include;
mod kept;
mod keys;
mod load;
mod merge;
pub mod model;
mod outline;
mod place;
mod problem;
mod proof;
mod raw;
mod read;
mod report;
mod schema;
mod source;
mod tree;
mod words;

#[cfg(test)]
mod tests;

pub use changed::{ChangedDefault, changed_defaults};
pub use disclose::disclosed;
pub use kept::KeptFiles;
pub use load::{LoadedFiles, load, load_from_reader, load_kept, load_proving, load_text};
pub use proof::{CertificateFault, Prove, unproven};
pub use report::{Report, Warning};
pub use schema::schema;
