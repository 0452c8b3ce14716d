//! Any bytes for the scanner `record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lithops_conformance::scanners::scan("record", bytes));
