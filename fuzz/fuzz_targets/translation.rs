//! Requests of HTTP/2: what is taken reads the same as a request of HTTP/1.1.
#![no_main]

#[allow(dead_code)]
#[path = "../properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::translation(bytes));
