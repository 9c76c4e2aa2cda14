//! Attack tools against a real edge: slowhttptest, HTTP/2 floods by Python's h2, and WebSocket case by case by kosoku.
//! `make attacks` installs them and runs this. Figures are printed; other clients must be served throughout.

#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a test fails by panicking, prints its figures and may spawn"
)]

#[allow(dead_code, unused_imports, reason = "shared with the black-box tests, which use all of it")]
#[path = "../blackbox/harness/mod.rs"]
mod harness;
mod http2;
mod memory;
mod slow;
mod watch;
mod websocket;
