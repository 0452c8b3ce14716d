//! Environments that are stopped between invocations.

use lithops_fake_lambda::Settings;
use serde_json::json;

use crate::caller::{Caller, state};

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_environment_is_stopped_with_its_children() {
    let caller = Caller::with_function(Settings::default()).await;
    let response = caller.invoke(json!({ "spawn": true })).await.response();
    let pids = [&response["pid"], &response["spawned"]].map(|pid| pid.as_u64().unwrap());
    assert_eq!(caller.fake.at_rest().await.freezes, 1);
    assert_eq!(pids.map(state), [Some('T'); 2]);
    assert!(caller.fake.environments()[0].is_idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_it_runs_again_for_the_next_invocation() {
    let caller = std::sync::Arc::new(Caller::with_function(Settings::default()).await);
    let first = caller.invoke(json!({ "spawn": true })).await.response();
    caller.fake.at_rest().await;
    let (begun, gate) = (caller.path("begun"), caller.path("gate"));
    let call = tokio::spawn({
        let (caller, event) = (std::sync::Arc::clone(&caller), json!({ "wait_for": gate, "create": begun }));
        async move { caller.invoke(event).await.response() }
    });
    while !begun.exists() {
        tokio::task::yield_now().await;
    }
    assert!(matches!(state(first["spawned"].as_u64().unwrap()), Some('S' | 'R')));
    std::fs::write(&gate, "").unwrap();
    let second = call.await.unwrap();
    assert_eq!((&second["pid"], &second["count"]), (&first["pid"], &json!(2)));
    assert_eq!(caller.fake.at_rest().await.freezes, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_that_is_never_stopped_goes_on() {
    let caller = Caller::with_function(Settings { freezes: false, ..Settings::default() }).await;
    let response = caller.invoke(json!({ "spawn": true })).await.response();
    assert_eq!(caller.fake.at_rest().await.freezes, 0);
    for pid in [&response["pid"], &response["spawned"]] {
        assert_ne!(state(pid.as_u64().unwrap()), Some('T'));
    }
}
