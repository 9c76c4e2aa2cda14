//! Chunked bodies and answer heads: the same however they are cut, and never longer than they came.
#![no_main]

#[allow(dead_code)]
#[path = "../properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::framing(bytes));
