//! Functions that fail, in every way there is.

use lithops_fake_lambda::Settings;
use serde_json::{Value, json};

use crate::caller::{Answer, Caller, is_gone, zip};

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_passed_on() {
    let caller = Caller::with_function(Settings::default()).await;
    let error = json!({ "errorType": "Mine", "errorMessage": "no", "stackTrace": ["a"] });
    assert_eq!(caller.invoke(json!({ "fail": error })).await.function_error(), error);
    // The environment goes on.
    assert_eq!(caller.invoke(json!({})).await.response()["count"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_takes_too_long_is_killed() {
    let caller = Caller::start(Settings::default()).await;
    caller.create("f", json!({ "Timeout": 1 })).await;
    let pid = caller.invoke(json!({})).await.response()["pid"].as_u64().unwrap();
    let answer = caller.invoke(json!({ "wait_for": caller.path("never") })).await;
    expect(&answer, "Sandbox.Timedout", "Task timed out after 1.00 seconds");
    assert!(is_gone(pid));
    assert_ne!(caller.invoke(json!({})).await.response()["pid"], pid);
    let counts = caller.fake.counts();
    assert_eq!((counts.timeouts, counts.function_errors, counts.environments_started), (1, 1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_is_told_with_its_status() {
    let caller = Caller::with_function(Settings::default()).await;
    let answer = caller.invoke_with(&[("x-amz-log-type", "Tail")], json!({ "exit": 3 }).to_string()).await;
    expect(&answer, "Runtime.ExitError", "Runtime exited with error: exit status 3");
    assert!(
        answer.log().contains("Runtime exited with error: exit status 3\nRuntime.ExitError\n"),
        "{}",
        answer.log()
    );
    assert_eq!(caller.invoke(json!({})).await.response()["count"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_is_told_by_its_name() {
    let caller = Caller::with_function(Settings::default()).await;
    let answer = caller.invoke(json!({ "killed": true })).await;
    expect(&answer, "Runtime.ExitError", "Runtime exited with error: signal: killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_before_the_first_invocation_is_told_too() {
    let caller = Caller::start(Settings::default()).await;
    caller.create("f", variables("exit")).await;
    let answer = caller.invoke(json!({})).await;
    expect(&answer, "Runtime.ExitError", "Runtime exited with error: exit status 7");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_cannot_begin_says_why() {
    let caller = Caller::start(Settings::default()).await;
    caller.create("f", variables("error")).await;
    let error = caller.invoke(json!({})).await.function_error();
    assert_eq!(error, json!({ "errorType": "Echo.Init", "errorMessage": "cannot begin" }));
    assert_eq!(caller.fake.at_rest().await.environments, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_cannot_be_run_is_no_entry_point() {
    let caller = Caller::start(Settings::default()).await;
    let package = |bytes: &[u8], mode| json!({ "Code": { "ZipFile": zip(&[("bootstrap", bytes, mode)]) } });
    caller.create("f", package(b"#!/bin/sh\n", 0o644)).await;
    let answer = caller.invoke(json!({})).await;
    expect(&answer, "Runtime.InvalidEntrypoint", "fork/exec /var/task/bootstrap: permission denied");
    assert_eq!(caller.fake.counts().running, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_is_cut_short_is_an_error() {
    let caller = Caller::with_function(Settings::default()).await;
    let error = caller.invoke(json!({ "chunks": ["\"a", "b\""], "cut": true })).await.function_error();
    assert_eq!(error["errorType"], "Runtime.TruncatedResponse");
    assert_eq!(caller.invoke(json!({})).await.response()["count"], 2);
}

fn variables(init: &str) -> Value {
    json!({ "Environment": { "Variables": { "ECHO_INIT": init } } })
}

fn expect(answer: &Answer, kind: &str, message: &str) {
    let error = answer.function_error();
    assert_eq!(error["errorType"], kind);
    let id = answer.headers["x-amzn-requestid"].to_str().expect("it works");
    assert_eq!(error["errorMessage"], format!("RequestId: {id} Error: {message}"));
}
