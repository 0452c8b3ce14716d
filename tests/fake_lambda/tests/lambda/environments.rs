//! Which invocation goes to which environment, and how environments end.

use std::{sync::Arc, time::Duration};

use futures::all;
use lithops_fake_lambda::Settings;
use serde_json::json;

use crate::caller::{Caller, is_gone, zip};

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_is_used_again() {
    let caller = Caller::with_function(Settings::default()).await;
    let first = caller.invoke(json!({})).await.response();
    for count in 2..6 {
        let again = caller.invoke(json!({})).await.response();
        assert_eq!((&again["pid"], &again["count"]), (&first["pid"], &json!(count)));
    }
    let counts = caller.fake.counts();
    assert_eq!((counts.environments_started, counts.warm_starts, counts.most_running), (1, 4, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_at_once_have_an_environment_each() {
    let caller = Arc::new(Caller::with_function(Settings::default()).await);
    let gate = caller.path("gate");
    let calls = (0..20).map(|_| {
        let (caller, gate) = (Arc::clone(&caller), gate.clone());
        tokio::spawn(
            async move { caller.invoke(json!({ "wait_for": gate })).await.response()["pid"].clone() },
        )
    });
    let calls: Vec<_> = calls.collect();
    caller.fake.until(|counts| counts.environments == 20).await;
    std::fs::write(&gate, "").unwrap();
    let mut pids = all(calls).await;
    pids.sort_by_key(|pid| pid.as_u64());
    pids.dedup();
    assert_eq!(pids.len(), 20);
    let counts = caller.fake.at_rest().await;
    assert_eq!((counts.environments_started, counts.most_environments, counts.most_running), (20, 20, 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_that_was_used_last_is_used_first() {
    let caller = Arc::new(Caller::with_function(Settings::default()).await);
    let hold = |name: &'static str| {
        let caller = Arc::clone(&caller);
        tokio::spawn(async move {
            caller.invoke(json!({ "wait_for": caller.path(name) })).await.response()["pid"].clone()
        })
    };
    let first = hold("first");
    caller.fake.until(|counts| counts.running == 1).await;
    let second = hold("second");
    caller.fake.until(|counts| counts.environments == 2).await;
    std::fs::write(caller.path("second"), "").unwrap();
    let second = second.await.unwrap();
    caller.fake.until(|counts| counts.idle == 1).await;
    std::fs::write(caller.path("first"), "").unwrap();
    let first = first.await.unwrap();
    caller.fake.at_rest().await;
    for _ in 0..3 {
        assert_eq!(caller.invoke(json!({})).await.response()["pid"], first);
        caller.fake.at_rest().await;
    }
    assert_ne!(first, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_room_for_more_than_the_account_may_run() {
    let caller = Arc::new(Caller::with_function(Settings { concurrency: 2, ..Settings::default() }).await);
    let gate = caller.path("gate");
    let calls: Vec<_> = (0..2)
        .map(|_| {
            let (caller, gate) = (Arc::clone(&caller), gate.clone());
            tokio::spawn(async move { caller.invoke(json!({ "wait_for": gate })).await.response() })
        })
        .collect();
    caller.fake.until(|counts| counts.running == 2).await;
    let refused = caller.invoke(json!({})).await;
    assert_eq!((refused.status.as_u16(), refused.exception()), (429, "TooManyRequestsException"));
    assert_eq!(refused.json()["Reason"], "ConcurrentInvocationLimitExceeded");
    assert_eq!(refused.headers.get("retry-after"), None);
    std::fs::write(&gate, "").unwrap();
    all(calls).await;
    caller.invoke(json!({})).await.response();
    assert_eq!(caller.fake.counts().throttled, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_leaves_its_invocation_running() {
    let caller = Arc::new(Caller::with_function(Settings::default()).await);
    let (gate, done) = (caller.path("gate"), caller.path("done"));
    let event = json!({ "wait_for": gate });
    let call = tokio::spawn({
        let caller = Arc::clone(&caller);
        async move { caller.invoke(event).await }
    });
    caller.fake.until(|counts| counts.environments == 1).await;
    call.abort();
    call.await.unwrap_err();
    assert_eq!(caller.fake.counts().running, 1);
    std::fs::write(&gate, "").unwrap();
    let counts = caller.fake.at_rest().await;
    assert_eq!((counts.environments, counts.function_errors), (1, 0));
    caller.invoke(json!({ "create": done })).await.response();
    assert!(done.exists());
    assert_eq!(caller.fake.counts().environments_started, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_when_the_fake_is_dropped() {
    let caller = Arc::new(Caller::with_function(Settings::default()).await);
    // One that sleeps with a child, and one that runs with a child.
    let idle = caller.invoke(json!({ "spawn": true })).await.response();
    caller.fake.at_rest().await;
    let call = tokio::spawn({
        let caller = Arc::clone(&caller);
        let event =
            json!({ "create": caller.path("begun"), "spawn": true, "wait_for": caller.path("never") });
        async move { caller.invoke(event).await }
    });
    caller.fake.until(|counts| counts.running == 1).await;
    let running: Vec<u64> = caller.fake.environments().iter().map(|one| one.pid.into()).collect();
    call.abort();
    call.await.unwrap_err();
    let folder = caller.fake.folder().to_owned();
    assert!(folder.exists());
    drop(Arc::into_inner(caller).expect("nobody else has it"));
    for pid in running.into_iter().chain([&idle["pid"], &idle["spawned"]].map(|pid| pid.as_u64().unwrap())) {
        assert!(is_gone(pid), "{pid}");
    }
    assert!(!folder.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_environment_leaves_behind_goes_with_it() {
    let caller = Caller::with_function(Settings::default()).await;
    let left = caller.invoke(json!({ "spawn": true })).await.response();
    let error = caller.invoke(json!({ "exit": 3 })).await.function_error();
    assert_eq!(error["errorType"], "Runtime.ExitError");
    for pid in [&left["pid"], &left["spawned"]] {
        assert!(is_gone(pid.as_u64().unwrap()), "{pid}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_started_in_the_last_invocation_goes_too() {
    let caller = Caller::start(Settings::default()).await;
    let mark = caller.path("pid");
    // It has no variables, no parent, and is in a session of its own; but it prints where the others print.
    let script = format!("#!/bin/sh\nenv -i setsid sleep 3600 &\necho $! > {}\nkill -9 $$\n", mark.display());
    let code = json!({ "Code": { "ZipFile": zip(&[("bootstrap", script.as_bytes(), 0o755)]) } });
    caller.create("f", code).await;
    caller.invoke(json!({})).await.function_error();
    let pid: u64 = std::fs::read_to_string(&mark).unwrap().trim().parse().unwrap();
    assert!(is_gone(pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_that_kept_its_variables_is_killed() {
    let caller = Caller::start(Settings::default()).await;
    let mark = caller.path("pid");
    // The shell goes at once, and leaves a process in a session of its own.
    let script =
        format!("#!/bin/sh\nsetsid sleep 3600 > /dev/null 2>&1 &\necho $! > {}\nexit 3\n", mark.display());
    let code = json!({ "Code": { "ZipFile": zip(&[("bootstrap", script.as_bytes(), 0o755)]) } });
    caller.create("f", code).await;
    caller.invoke(json!({})).await.function_error();
    let pid: u64 = std::fs::read_to_string(&mark).unwrap().trim().parse().unwrap();
    assert!(is_gone(pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_that_dies_in_its_sleep_is_replaced() {
    let caller = Caller::with_function(Settings::default()).await;
    let first = caller.invoke(json!({})).await.response()["pid"].as_u64().unwrap();
    caller.fake.at_rest().await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(first).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until_gone(first).await;
    assert_ne!(caller.invoke(json!({})).await.response()["pid"], first);
    assert_eq!(caller.fake.counts().function_errors, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_may_be_followed_by_work() {
    let settings = Settings { freezes: false, pending: Duration::ZERO, ..Settings::default() };
    let caller = Caller::with_function(settings).await;
    caller.invoke(json!({})).await.response();
    assert_eq!(caller.fake.at_rest().await.freezes, 0);
}

async fn until_gone(pid: u64) {
    while !is_gone(pid) {
        tokio::task::yield_now().await;
    }
}

mod futures {
    use tokio::task::JoinHandle;

    /// Waits for all.
    pub(super) async fn all<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
        let mut done = Vec::new();
        for task in tasks {
            done.push(task.await.expect("it works"));
        }
        done
    }
}
