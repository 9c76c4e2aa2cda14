//! What is said of an upstream's backends in the file, as far as a check can show that it is right.

use serde::{Deserialize, Serialize};

use crate::config::model::UpstreamSpec;

/// An upstream's check on a port. One pass by any backend shows that the file is right about both.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Definition {
    /// The upstream's name.
    pub upstream: String,
    /// The port that is asked.
    pub port: u16,
    /// What is asked, and what passes; how often does not matter.
    pub check: String,
}

impl Definition {
    /// `None` where there is no check.
    pub fn of(spec: &UpstreamSpec, port: u16) -> Option<Self> {
        let check = spec.check.as_ref()?.question();
        Some(Self { upstream: spec.name.to_string(), port, check })
    }
}
