//! What requests and responses may be.

use lithops_fake_lambda::Settings;
use serde_json::json;

use crate::caller::Caller;

const LIMIT: usize = 6 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_its_limit() {
    let caller = Caller::with_function(Settings::default()).await;
    let body = |len: usize| format!("{{\"raw\": \"1\"{}}}", " ".repeat(len - 12));
    caller.invoke_with(&[], body(LIMIT)).await.response();
    let refused = caller.invoke_with(&[], body(LIMIT + 1)).await;
    assert_eq!((refused.status.as_u16(), refused.exception()), (413, "RequestTooLargeException"));
    let message =
        "6291457 byte payload is too large for the RequestResponse invocation type (limit 6291456 bytes)";
    assert_eq!(refused.json()["Message"], message);
    let refused = caller.invoke_with(&[("x-amz-invocation-type", "Event")], body(2 * 1024 * 1024)).await;
    assert_eq!(refused.exception(), "RequestTooLargeException");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_has_its_limit() {
    let caller = Caller::with_function(Settings::default()).await;
    assert_eq!(caller.invoke(json!({ "large": LIMIT })).await.response().as_str().unwrap().len(), LIMIT - 2);
    let error = caller.invoke(json!({ "large": LIMIT + 1 })).await.function_error();
    assert_eq!(error["errorType"], "Function.ResponseSizeTooLarge");
    let message = "Response payload size exceeded maximum allowed payload size (6291456 bytes).";
    assert_eq!(error["errorMessage"], message);
    // The environment has heard of it, and goes on.
    assert_eq!(caller.invoke(json!({})).await.response()["count"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_response_has_no_limit_here() {
    let caller = Caller::with_function(Settings { payload_limit: 1000, ..Settings::default() }).await;
    let (bytes, end) = caller.invoke_streaming(json!({ "large": 100_000 })).await.rest().await;
    assert_eq!(bytes.len(), 100_000);
    assert!(end["ErrorCode"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_to_be_json() {
    let caller = Caller::with_function(Settings::default()).await;
    let refused = caller.invoke_with(&[], "not json".to_owned()).await;
    assert_eq!((refused.status.as_u16(), refused.exception()), (400, "InvalidRequestContentException"));
    let lenient = Caller::with_function(Settings { requires_json: false, ..Settings::default() }).await;
    assert_eq!(lenient.invoke_with(&[], "not json".to_owned()).await.response()["count"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_has_to_be_json_unless_it_is_streamed() {
    let caller = Caller::with_function(Settings::default()).await;
    let event = json!({ "raw": "not json" });
    assert_eq!(caller.invoke(event.clone()).await.function_error()["errorType"], "Runtime.InvalidResponse");
    assert_eq!(caller.invoke_streaming(event.clone()).await.rest().await.0, b"not json");
    let settings = Settings { requires_json_response: false, ..Settings::default() };
    let lenient = Caller::with_function(settings).await;
    let answer = lenient.invoke(event).await;
    assert_eq!((&answer.body[..], answer.headers.get("x-amz-function-error")), (&b"not json"[..], None));
}
