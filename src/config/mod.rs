//! The user's file: text → raw (private) → check → model. No clock, no network.

pub mod model;
