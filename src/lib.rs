//! Remora: an edge proxy for Docker Compose stacks that routes, balances, checks and heals what stands behind it.
//!
//! `ARCHITECTURE.md` shows the layers; imports go down only.

pub mod admin;
pub mod cli;
pub mod config;
pub mod reload;
pub mod telemetry;
pub mod types;
