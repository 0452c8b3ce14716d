//! What does not compile says why, in words of this system.

// What the compiler says depends on which methods other crates have: with more storages there are more.
#![cfg(not(any(feature = "aws_s3", feature = "minio", feature = "ceph", feature = "aws_lambda")))]

use std::process::Command;

/// The compiler whose words the `.stderr` files have.
const WRITTEN_WITH: &str = "rustc 1.95.";

#[test]
fn compile_errors_read_well() {
    let trials = trybuild::TestCases::new();
    // The compiler's own share of a message changes between versions, and that is no fault of this system.
    if version().starts_with(WRITTEN_WITH) {
        trials.compile_fail("tests/compile_errors/*.rs");
        trials.pass("tests/compile_errors/compiles/*.rs");
    } else {
        eprintln!("compile errors are not compared: {} is not {WRITTEN_WITH}x", version().trim());
    }
}

fn version() -> String {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).arg("--version").output().expect("rustc runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
