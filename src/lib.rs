//! Remora: an edge proxy for Docker Compose stacks that routes, balances, checks and heals what stands behind it.
//!
//! `ARCHITECTURE.md` shows the layers; imports go down only.

pub mod admin;
pub mod certificate_reader;
pub mod cli;
pub mod config;
pub mod content;
pub mod demo;
pub mod docker;
pub mod filter;
pub mod front;
pub mod heal;
pub mod http1;
pub mod plan;
pub mod proxy;
pub mod relay;
pub mod reload;
pub mod routing;
pub mod server;
pub mod sidecar;
pub mod snapshot;
pub mod telemetry;
pub mod types;
pub mod upstream;
