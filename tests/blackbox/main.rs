//! Black-box tests: the real executable in front of real sockets. Each test is a few lines and a claim.

#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a test fails by panicking, prints its figures and may spawn"
)]

mod access_log;
mod alerts;
mod auth;
mod backends;
mod balance;
mod bodies;
mod cli;
mod cors;
mod discovery;
mod failures;
mod framing;
mod harness;
mod heads;
mod health;
mod history;
mod http2;
mod listen;
mod load;
mod malformed;
mod networks;
mod reload;
mod report;
mod routes;
mod sidecar;
mod signals;
mod slow;
mod streams;
mod tls;
mod tunnels;
