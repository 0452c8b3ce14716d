//! A program that does not call `lithops::init()`: a clear error, and never a storm of processes.
//!
//! This test crate has no `test_worker!()` on purpose.

use std::io::Read;

use lithops::{ErrorKind, blocking::FunctionExecutor};
use lithops_core::{
    process::{EXIT_NOT_INITIALISED, spawn},
    protocol::{Program, Role},
};

#[test]
fn a_forgotten_init_is_a_clear_error() {
    let error = FunctionExecutor::builder().build().expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let text = error.to_string();
    for part in ["`lithops::init()` was not called", "`#[lithops::main]`", "`lithops::test_worker!();`"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_child_that_goes_on_as_a_client_ends_with_a_message() {
    let (mut output, writing) = std::io::pipe().expect("a pipe");
    let program = Program {
        path: std::env::current_exe().expect("this program"),
        arguments: ["a_forgotten_init_is_a_clear_error", "--exact", "--nocapture"].map(Into::into).to_vec(),
    };
    let (mut child, channel) = spawn(&program, Role::Worker, writing.into()).expect("a child");
    let mut said = String::new();
    output.read_to_string(&mut said).expect("its output");
    drop(channel);
    assert_eq!(child.wait().expect("ends").code(), Some(EXIT_NOT_INITIALISED), "{said}");
    assert!(
        said.contains("started as a lithops worker") && said.contains("call `lithops::init()`"),
        "{said}"
    );
}
