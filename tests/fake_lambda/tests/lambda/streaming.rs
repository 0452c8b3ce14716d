//! Responses that come in pieces.

use lithops_fake_lambda::Settings;
use serde_json::{Value, json};

use crate::caller::{Caller, decode};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_streamed_comes_before_the_end() {
    let caller = Caller::with_function(Settings::default()).await;
    let gate = caller.path("gate");
    let mut events =
        caller.invoke_streaming(json!({ "chunks": ["one", "two", "three"], "between": gate })).await;
    // The function does not go on until this has come.
    let first = events.next().await.unwrap();
    assert_eq!((first.kind(), &first.payload[..]), (Some("PayloadChunk"), &b"one"[..]));
    assert_eq!(first.headers[":message-type"], "event");
    std::fs::write(&gate, "").unwrap();
    let (rest, end) = events.rest().await;
    assert_eq!(rest, b"twothree");
    assert!(end["ErrorCode"].is_null(), "{end}");
    let log = decode(end["LogResult"].as_str().unwrap());
    assert!(log.starts_with("START RequestId: ") && log.contains("\nREPORT RequestId: "), "{log}");
    assert_eq!(caller.fake.counts().streaming_invokes, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_response_is_one_stream_too() {
    let caller = Caller::with_function(Settings::default()).await;
    let (bytes, end) = caller.invoke_streaming(json!({ "x": 5 })).await.rest().await;
    assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap()["event"]["x"], 5);
    assert!(end["ErrorCode"].is_null(), "{end}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_response_can_be_waited_for() {
    let caller = Caller::with_function(Settings::default()).await;
    assert_eq!(caller.invoke(json!({ "chunks": ["\"a", "b\""] })).await.response(), "ab");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_half_way_ends_the_stream() {
    let caller = Caller::with_function(Settings::default()).await;
    let event = json!({ "chunks": ["half"], "stream_error": "Echo.HalfWay" });
    let (bytes, end) = caller.invoke_streaming(event).await.rest().await;
    assert_eq!(bytes, b"half");
    assert_eq!(end["ErrorCode"], "Echo.HalfWay");
    assert!(end["ErrorDetails"].as_str().unwrap().contains("half way"), "{end}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_failure_ends_the_stream_too() {
    let caller = Caller::start(Settings::default()).await;
    caller.create("f", json!({ "Timeout": 1 })).await;
    for (event, code, details) in [
        (json!({ "exit": 3 }), "Runtime.ExitError", "exit status 3"),
        (json!({ "killed": true }), "Runtime.ExitError", "signal: killed"),
        (json!({ "fail": { "errorType": "Mine" } }), "Unhandled", "Mine"),
        (json!({ "chunks": ["a"], "cut": true }), "Runtime.TruncatedResponse", "ended before its end"),
        (
            json!({ "chunks": ["a"], "between": caller.path("never") }),
            "Sandbox.Timedout",
            "timed out after 1.00 seconds",
        ),
    ] {
        let (_, end) = caller.invoke_streaming(event.clone()).await.rest().await;
        assert_eq!(end["ErrorCode"], code, "{event}");
        assert!(end["ErrorDetails"].as_str().unwrap().contains(details), "{event}: {end}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_does_not_end_the_function() {
    let caller = Caller::with_function(Settings::default()).await;
    let (gate, long) = (caller.path("gate"), "x".repeat(100_000));
    let event = json!({ "chunks": [long, long, long, long], "between": gate });
    let mut events = caller.invoke_streaming(event).await;
    events.next().await.unwrap();
    drop(events);
    std::fs::write(&gate, "").unwrap();
    let counts = caller.fake.at_rest().await;
    assert_eq!((counts.environments, counts.function_errors), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_no_streams() {
    let caller = Caller::with_function(Settings { concurrency: 0, ..Settings::default() }).await;
    let path = "/2021-11-15/functions/f/response-streaming-invocations";
    let refused = caller.ask(hyper::Method::POST, path, &[], "{}".to_owned()).await;
    assert_eq!((refused.status.as_u16(), refused.exception()), (429, "TooManyRequestsException"));
}
