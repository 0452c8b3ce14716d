//! Any bytes for the scanner `signed_post`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lithops_conformance::scanners::scan("signed_post", bytes));
