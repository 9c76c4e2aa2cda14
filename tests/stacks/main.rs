//! Every stack of `deploy/` in real Docker, started as its README says; `make stacks`. One test a stack. Figures are printed.

#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a test fails by panicking, prints its figures and may spawn"
)]

#[path = "../support/calm.rs"]
#[allow(dead_code, reason = "shared")]
mod calm;
#[path = "../support/compose.rs"]
#[allow(dead_code, reason = "shared")]
mod compose;
#[path = "../support/load.rs"]
#[allow(dead_code, reason = "shared")]
mod load;

mod assignment;
mod fullstack;
mod kubernetes;
mod patterns;
mod readme;
mod shop;
mod swarm;
mod tutorial;
