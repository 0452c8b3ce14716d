//! Any bytes for the scanner `frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lithops_conformance::scanners::scan("frames", bytes));
