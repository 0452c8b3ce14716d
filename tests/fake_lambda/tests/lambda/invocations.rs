//! Invocations that go well.

use hyper::Method;
use lithops_fake_lambda::Settings;
use serde_json::json;

use crate::caller::Caller;

#[tokio::test(flavor = "multi_thread")]
async fn a_function_answers_what_it_was_asked() {
    let caller = Caller::with_function(Settings::default()).await;
    let answer = caller.invoke(json!({ "n": [1, 2, 3] })).await;
    assert_eq!(answer.headers["x-amz-executed-version"], "$LATEST");
    let response = answer.response();
    assert_eq!(response["event"], json!({ "n": [1, 2, 3] }));
    assert_eq!(answer.headers["x-amzn-requestid"], response["id"].as_str().unwrap());
    let counts = caller.fake.counts();
    assert_eq!((counts.invokes, counts.environments_started, counts.function_errors), (1, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_body_is_an_empty_object() {
    let caller = Caller::with_function(Settings::default()).await;
    assert_eq!(caller.invoke_with(&[], String::new()).await.response()["event"], json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_has_the_variables_of_the_service_and_no_others() {
    let caller = Caller::start(Settings::default()).await;
    let variables = json!({ "Environment": { "Variables": { "MINE": "yes" } }, "MemorySize": 256 });
    caller.create("f", variables).await;
    let response = caller.invoke(json!({})).await.response();
    let variables = &response["variables"];
    for (name, value) in [
        ("MINE", "yes"),
        ("AWS_LAMBDA_FUNCTION_NAME", "f"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/f"),
        ("AWS_REGION", "us-east-1"),
        ("_HANDLER", "bootstrap"),
        ("TZ", ":UTC"),
    ] {
        assert_eq!(variables[name], value, "{name}");
    }
    assert_eq!(variables["LAMBDA_TASK_ROOT"], response["folder"]);
    for name in ["HOME", "CARGO_MANIFEST_DIR", "USER"] {
        assert!(variables[name].is_null(), "{name}");
    }
    let api = variables["AWS_LAMBDA_RUNTIME_API"].as_str().unwrap();
    assert!(api.parse::<std::net::SocketAddr>().is_ok(), "{api}");
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_have_names_of_several_shapes() {
    let caller = Caller::with_function(Settings::default()).await;
    for name in [
        "f",
        "f:%24LATEST",
        "123456789012:function:f",
        "arn:aws:lambda:us-east-1:123456789012:function:f",
        "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af",
    ] {
        let path = format!("/2015-03-31/functions/{name}/invocations");
        caller.ask(Method::POST, &path, &[], "{}".to_owned()).await.response();
    }
    let path = "/2015-03-31/functions/f/invocations?Qualifier=7";
    let refused = caller.ask(Method::POST, path, &[], "{}".to_owned()).await;
    assert_eq!(refused.exception(), "ResourceNotFoundException");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_runs_nothing() {
    let caller = Caller::with_function(Settings::default()).await;
    let answer = caller.invoke_with(&[("x-amz-invocation-type", "DryRun")], "{}".to_owned()).await;
    assert_eq!(answer.status, 204);
    let counts = caller.fake.counts();
    assert_eq!((counts.dry_runs, counts.environments_started), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_taken_before_it_is_done() {
    let caller = Caller::with_function(Settings::default()).await;
    let gate = caller.path("gate");
    let event = json!({ "wait_for": gate, "create": caller.path("begun") }).to_string();
    let answer = caller.invoke_with(&[("x-amz-invocation-type", "Event")], event).await;
    assert_eq!(answer.status, 202);
    assert!(answer.body.is_empty());
    caller.fake.until(|counts| counts.running == 1).await;
    std::fs::write(&gate, "").unwrap();
    caller.fake.until(|counts| counts.environments == 1 && counts.idle == 1).await;
    assert!(caller.path("begun").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_fails_is_repeated_twice() {
    let settings = Settings { event_retry_delay: std::time::Duration::ZERO, ..Settings::default() };
    let caller = Caller::with_function(settings).await;
    let event = json!({ "fail": { "errorType": "E", "errorMessage": "m" } }).to_string();
    caller.invoke_with(&[("x-amz-invocation-type", "Event")], event).await;
    caller.fake.until(|counts| counts.function_errors == 3).await;
    let counts = caller.fake.at_rest().await;
    assert_eq!((counts.function_errors, counts.event_invokes), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tail_of_the_log_is_of_this_invocation() {
    let caller = Caller::with_function(Settings::default()).await;
    let tail = [("x-amz-log-type", "Tail")];
    let first = caller.invoke_with(&tail, json!({ "print": "the first" }).to_string()).await;
    let second = caller.invoke_with(&tail, json!({ "print": "the second" }).to_string()).await;
    assert!(first.log().contains("\tInit Duration: "), "{}", first.log());
    let (log, id) = (second.log(), second.headers["x-amzn-requestid"].to_str().unwrap());
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(
        lines[..3],
        [&*format!("START RequestId: {id} Version: $LATEST"), "the second", &*format!("END RequestId: {id}")]
    );
    let report = lines[3];
    assert!(report.starts_with(&format!("REPORT RequestId: {id}\tDuration: ")), "{report}");
    for part in [" ms\tBilled Duration: ", " ms\tMemory Size: 128 MB\tMax Memory Used: "] {
        assert!(report.contains(part), "{report}");
    }
    assert_eq!(lines.len(), 4, "{log}");
    let long = caller.invoke_with(&tail, json!({ "print": "x".repeat(10_000) }).to_string()).await;
    assert_eq!(long.log().len(), 4096);
    assert!(long.log().contains("END RequestId"));
    let without = caller.invoke(json!({})).await;
    assert_eq!(without.headers.get("x-amz-log-result"), None);
}
