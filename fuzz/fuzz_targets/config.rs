//! Any bytes for the scanner `config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lithops_conformance::scanners::scan("config", bytes));
