//! Functions come, change and go.

use std::time::Duration;

use hyper::Method;
use lithops_fake_lambda::Settings;
use serde_json::{Value, json};

use crate::caller::{Caller, zip};

#[tokio::test(flavor = "multi_thread")]
async fn a_function_is_as_it_was_created() {
    let caller = Caller::start(Settings::default()).await;
    let extra = json!({
        "Timeout": 30, "MemorySize": 512, "Tags": { "owner": "me" }, "Environment": { "Variables": { "A": "b" } },
        "Architectures": ["arm64"], "EphemeralStorage": { "Size": 1024 },
        "VpcConfig": { "SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"] },
        "FileSystemConfigs": [{ "Arn": "arn:aws:elasticfilesystem:1", "LocalMountPath": "/mnt/x" }],
    });
    let created = caller.create("f", extra.clone()).await;
    assert_eq!(created.status, 201);
    let got = caller.get("/2015-03-31/functions/f").await.json();
    let configuration = &got["Configuration"];
    for key in [
        "Timeout",
        "MemorySize",
        "Environment",
        "Architectures",
        "EphemeralStorage",
        "VpcConfig",
        "FileSystemConfigs",
    ] {
        assert_eq!(configuration[key], extra[key], "{key}");
    }
    assert_eq!(got["Tags"], extra["Tags"]);
    assert_eq!(configuration["FunctionArn"], "arn:aws:lambda:us-east-1:123456789012:function:f");
    assert_eq!(configuration["State"], "Active");
    assert_eq!(configuration["LastUpdateStatus"], "Successful");
    assert_eq!(created.json()["CodeSha256"], configuration["CodeSha256"]);
    let by_arn =
        "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af/configuration";
    assert_eq!(caller.get(by_arn).await.json(), *configuration);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_created_is_refused() {
    let caller = Caller::start(Settings::default()).await;
    for wrong in [
        json!({ "Role": "worker" }),
        json!({ "Runtime": "python3.12" }),
        json!({ "Timeout": 901 }),
        json!({ "MemorySize": 64 }),
        json!({ "Code": { "S3Bucket": "b", "S3Key": "k" } }),
        json!({ "Code": { "ZipFile": zip(&[("main", b"", 0o755)]) } }),
        json!({ "Environment": { "Variables": { "AWS_REGION": "elsewhere" } } }),
    ] {
        let refused = caller.create("f", wrong.clone()).await;
        assert_eq!(refused.status, 400, "{wrong}");
        assert_eq!(refused.exception(), "InvalidParameterValueException", "{wrong}");
    }
    assert_eq!(caller.fake.counts().creates, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_taken_once() {
    let caller = Caller::with_function(Settings::default()).await;
    let refused = caller.create("f", json!({})).await;
    assert_eq!((refused.status.as_u16(), refused.exception()), (409, "ResourceConflictException"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_function_cannot_be_invoked() {
    let settings = Settings { pending: Duration::from_secs(3600), ..Settings::default() };
    let caller = Caller::start_slowly(settings).await;
    let created = caller.create("f", json!({})).await.json();
    assert_eq!((&created["State"], &created["StateReasonCode"]), (&json!("Pending"), &json!("Creating")));
    let refused = caller.invoke(json!({})).await;
    assert_eq!((refused.status.as_u16(), refused.exception()), (409, "ResourceConflictException"));
    assert_eq!(caller.fake.counts().environments_started, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_becomes_active_and_its_updates_successful() {
    let caller = Caller::start_slowly(Settings::default()).await;
    caller.create("f", json!({})).await;
    let mut seen = until(&caller, "State", "Active").await;
    seen.dedup();
    assert!(seen.iter().all(|state| state == "Pending" || state == "Active"), "{seen:?}");
    let body = json!({ "Timeout": 9 }).to_string();
    let path = "/2015-03-31/functions/f/configuration";
    let updated = caller.ask(Method::PUT, path, &[], body).await.json();
    assert_eq!((&updated["State"], &updated["LastUpdateStatus"]), (&json!("Active"), &json!("InProgress")));
    until(&caller, "LastUpdateStatus", "Successful").await;
    assert_eq!(caller.invoke(json!({ "x": 1 })).await.response()["event"]["x"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_in_progress_refuses_others() {
    let settings = Settings { pending: Duration::from_secs(3600), ..Settings::default() };
    let caller = Caller::start_slowly(settings).await;
    caller.create("f", json!({})).await;
    let path = "/2015-03-31/functions/f/configuration";
    let refused = caller.ask(Method::PUT, path, &[], json!({ "Timeout": 9 }).to_string()).await;
    assert_eq!((refused.status.as_u16(), refused.exception()), (409, "ResourceConflictException"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_function_runs_in_new_environments() {
    let caller = Caller::with_function(Settings::default()).await;
    let old = caller.invoke(json!({})).await.response()["pid"].clone();
    caller.fake.at_rest().await;
    let body = json!({ "Environment": { "Variables": { "COLOUR": "blue" } } }).to_string();
    let path = "/2015-03-31/functions/f/configuration";
    assert_eq!(caller.ask(Method::PUT, path, &[], body).await.status, 200);
    let new = caller.invoke(json!({})).await.response();
    assert_ne!(new["pid"], old);
    assert_eq!(new["variables"]["COLOUR"], "blue");
    let program = b"#!/bin/sh\nexit 3\n";
    let body = json!({ "ZipFile": zip(&[("bootstrap", program, 0o755)]) }).to_string();
    assert_eq!(caller.ask(Method::PUT, "/2015-03-31/functions/f/code", &[], body).await.status, 200);
    assert_eq!(caller.invoke(json!({})).await.function_error()["errorType"], "Runtime.ExitError");
    caller.fake.until(|counts| counts.environments == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_comes_in_pages() {
    let caller = Caller::start(Settings::default()).await;
    let package = json!({ "Code": { "ZipFile": zip(&[("bootstrap", b"", 0o755)]) } });
    for index in 0..5 {
        assert_eq!(caller.create(&format!("f{index}"), package.clone()).await.status, 201);
    }
    let (mut names, mut sizes, mut query) = (Vec::new(), Vec::new(), "?MaxItems=2".to_owned());
    loop {
        let page = caller.get(&format!("/2015-03-31/functions/{query}")).await.json();
        let functions = page["Functions"].as_array().unwrap();
        sizes.push(functions.len());
        names.extend(functions.iter().map(|function| function["FunctionName"].as_str().unwrap().to_owned()));
        let Some(marker) = page["NextMarker"].as_str() else { break };
        query = format!("?MaxItems=2&Marker={}", marker.replace('=', "%3D"));
    }
    assert_eq!(sizes, [2, 2, 1]);
    assert_eq!(names, ["f0", "f1", "f2", "f3", "f4"]);
    let refused = caller.get("/2015-03-31/functions?MaxItems=0").await;
    assert_eq!(refused.exception(), "InvalidParameterValueException");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_function_is_gone_with_its_environments() {
    let caller = Caller::with_function(Settings::default()).await;
    let pid = caller.invoke(json!({})).await.response()["pid"].as_u64().unwrap();
    let path = "/2015-03-31/functions/f";
    assert_eq!(caller.ask(Method::DELETE, path, &[], String::new()).await.status, 204);
    assert!(crate::caller::is_gone(pid));
    for answer in [
        caller.get(path).await,
        caller.invoke(json!({})).await,
        caller.ask(Method::DELETE, path, &[], String::new()).await,
    ] {
        assert_eq!((answer.status.as_u16(), answer.exception()), (404, "ResourceNotFoundException"));
    }
    caller.fake.until(|counts| counts.environments == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_account_has_its_limits() {
    let caller = Caller::with_function(Settings { concurrency: 7, ..Settings::default() }).await;
    let settings = caller.get("/2016-08-19/account-settings/").await.json();
    assert_eq!(settings["AccountLimit"]["ConcurrentExecutions"], 7);
    assert_eq!(settings["AccountUsage"]["FunctionCount"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_knows_is_no_operation() {
    let caller = Caller::start(Settings::default()).await;
    let refused = caller.get("/2020-01-01/anything").await;
    assert_eq!((refused.status.as_u16(), refused.exception()), (404, "UnknownOperationException"));
}

/// Asks until a key of the configuration is as wanted, and returns what it was meanwhile.
async fn until(caller: &Caller, key: &str, wanted: &str) -> Vec<Value> {
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| last != wanted) {
        let configuration = caller.get("/2015-03-31/functions/f/configuration").await.json();
        seen.push(configuration[key].clone());
    }
    seen
}
