//! Any routes and any head: the walk ends, finds the route that the reference says, and nothing gets by who must be asked.
#![no_main]

#[path = "../../walk.rs"]
mod walk;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| walk::walk(bytes));
