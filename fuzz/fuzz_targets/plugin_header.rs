//! Any bytes for the scanner `plugin_header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lithops_conformance::scanners::scan("plugin_header", bytes));
