//! What must be true of jobs on Lambda beyond what every backend promises.

use std::{collections::BTreeMap, fs, future::Future, pin::Pin, time::Duration};

use libtest_mimic::{Failed, Trial};
use lithops_core::{
    compute::RuntimeSpec,
    config::{Config, Environment, Origin, Sources, Value},
    error::CallErrorKind,
    executor::{FunctionExecutor, JobEvent},
    registry::{Connected, Registry},
    storage::StorageClient,
};
use lithops_fault_proxy::{Fault, Rule};

use super::{
    functions::{counted, ends_its_instance, grows, hoards, seed, sleeps, stays},
    place::{Place, WHOLE},
};

type Tried = Pin<Box<dyn Future<Output = ()> + Send>>;
type Run = fn(Place) -> Tried;

/// How long a trial may wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(240);

/// Each with its name.
const TRIALS: &[(&str, Run)] = &[
    ("two_hundred_calls_at_4_and_8_are_25_requests", |place| Box::pin(requests(place))),
    ("two_thousand_calls_survive_a_failing_service", |place| Box::pin(faults(place))),
    ("one_bad_answer_costs_one_activation", |place| Box::pin(bad_answers(place))),
    ("bad_answers_that_repeat_end_the_job", |place| Box::pin(repeated(place))),
    ("a_function_that_is_deleted_is_deployed_again", |place| Box::pin(deleted(place))),
    ("a_chunk_that_takes_too_long_is_planned_anew", |place| Box::pin(too_long(place))),
    ("a_call_that_takes_too_long_fails_alone", |place| Box::pin(call_too_long(place))),
    ("answers_that_do_not_fit_go_through_the_storage", |place| Box::pin(large(place))),
    ("a_greedy_call_fails_alone", |place| Box::pin(greedy(place))),
    ("an_instance_that_ends_loses_no_other_call", |place| Box::pin(instance_ends(place))),
    ("cancel_says_what_runs_on", |place| Box::pin(cancel(place))),
    ("what_runs_ends_once_it_sees_that_it_is_not_wanted", |place| {
        Box::pin(async { tokio::time::timeout(PATIENCE, unwanted(place)).await.expect("it ends") })
    }),
    ("clients_that_deploy_at_once_deploy_once", |place| Box::pin(deploys(place))),
    ("wrong_credentials_and_roles_are_said_to_be", |place| Box::pin(mistakes(place))),
];

/// Those that spoil what others use.
const ALONE: &[(&str, Run)] = &[("a_damaged_program_is_stored_again", |place| Box::pin(damaged(place)))];

/// The trials against a service that can run beside each other.
pub(crate) fn trials(name: &str, place: &Place) -> Vec<Trial> {
    of(TRIALS, name, place)
}

/// The trials that must run after all others have ended.
pub(crate) fn trials_alone(name: &str, place: &Place) -> Vec<Trial> {
    of(ALONE, name, place)
}

fn of(trials: &[(&str, Run)], name: &str, place: &Place) -> Vec<Trial> {
    let trial = |(trial, run): &(&str, Run)| {
        let (run, place) = (*run, place.clone());
        Trial::test(format!("{name}::{trial}"), move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            let tried =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(run(place))));
            runtime.shutdown_background();
            tried.map_err(|panic| {
                let words = panic.downcast_ref::<String>().cloned();
                let words = words.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
                Failed::from(words.unwrap_or_default())
            })
        })
    };
    trials.iter().map(trial).collect()
}

async fn requests(place: Place) {
    let proxy = place.proxy().await;
    let fexec = place.executor(&proxy, ", worker_processes: 4").await;
    let futures = fexec.map(seed, 0..200).chunksize(8).await.expect("a job");
    assert_eq!(futures.plan().workers(), 25);
    let places = futures.get_result().await.expect("results");
    assert_eq!(places.iter().map(|place| place.value).collect::<Vec<_>>(), (7..207).collect::<Vec<_>>());
    let counts = proxy.counts();
    assert_eq!((counts.ending(WHOLE), counts.violations), (25, 0), "{counts:?}");
    let mut sub_workers: BTreeMap<u32, std::collections::BTreeSet<u32>> = BTreeMap::new();
    for place in &places {
        sub_workers.entry(place.worker).or_default().insert(place.sub_worker);
    }
    assert!(sub_workers.values().all(|of_one| of_one.len() <= 4), "{sub_workers:?}");
    // One that is slow to start may find its calls taken over by the others.
    let whole = sub_workers.values().filter(|of_one| of_one.len() == 4).count();
    assert!(whole * 2 > sub_workers.len(), "{sub_workers:?}");
    let log = futures[199].logs().await.expect("a log");
    assert!(log.contains("activation number 199"), "{log}");

    let plain = place.executor(&proxy, ", max_workers: 30").await;
    let futures = plain.map(seed, 0..200).await.expect("a job");
    assert_eq!(futures.get_result().await.expect("results").len(), 200);
    assert_eq!(proxy.counts().ending(WHOLE), 225);
}

#[expect(clippy::print_stderr, reason = "what was survived is worth a line")]
async fn faults(place: Place) {
    const CALLS: u64 = 2000;
    let proxy = place.proxy().await;
    let folder = place.folder.join("counted");
    fs::create_dir_all(&folder).expect("a folder");
    let fexec = place.executor(&proxy, ", max_workers: 30").await;
    // It is deployed before anything fails.
    fexec.map(sleeps, vec![1; 1]).await.expect("a job").get_result().await.expect("a result");
    // One request in five.
    for (every, fault) in [
        (15, Fault::Status(429)),
        (17, Fault::Status(503)),
        (20, Fault::Reset),
        (33, Fault::StatusAfter(500)),
        (35, Fault::ResetAfter),
        (60, Fault::Truncate(20)),
    ] {
        proxy.add(Rule::new(fault).method("POST").path_contains("invocations").every(every));
    }
    let futures = fexec.map(counted, vec![folder.clone(); CALLS as usize]).await.expect("a job");
    let results = tokio::time::timeout(Duration::from_secs(240), futures.get_result()).await;
    let results = results.expect("it ends").expect("all of them");
    assert_eq!(results, (0..CALLS).map(|call| call * 3).collect::<Vec<_>>());
    let counts = proxy.counts();
    let share = counts.faults as f64 / counts.ending(WHOLE) as f64;
    assert!(share > 0.15, "{share} of {counts:?}");
    let mut runs = vec![0u64; CALLS as usize];
    for entry in fs::read_dir(&folder).expect("a folder") {
        let name = entry.expect("a file").file_name().into_string().expect("a name");
        runs[name.split('-').next().and_then(|call| call.parse::<usize>().ok()).expect("a call")] += 1;
    }
    assert!(runs.iter().all(|runs| *runs > 0), "every call has run");
    let again: u64 = runs.iter().map(|runs| runs - 1).sum();
    let summary = futures.summary();
    assert!(again > 0 && again <= summary.retried, "{again} ran again, {summary:?}");
    eprintln!(
        "   {:.0} % of {} requests failed: {again} calls ran again, {} were tried again",
        share * 100.0,
        counts.ending(WHOLE),
        summary.retried
    );
}

async fn bad_answers(place: Place) {
    let proxy = place.proxy().await;
    let fexec = place.executor(&proxy, ", max_workers: 4").await;
    let job = async || {
        let futures = fexec.map(seed, 0..40).chunksize(4).await.expect("a job");
        let values: Vec<_> = futures.get_result().await?.iter().map(|place| place.value).collect();
        assert_eq!(values, (7..47).collect::<Vec<_>>());
        Ok::<_, lithops_core::error::Error>(())
    };
    job().await.expect("it works");
    for fault in [
        Fault::Replace(""),
        Fault::Replace("<html>busy</html>"),
        Fault::Replace("{}"),
        Fault::Replace("null"),
        Fault::Replace("{\"frames\": \"!\"}"),
        Fault::Status(400),
        Fault::Status(401),
        Fault::Status(403),
        Fault::Status(404),
        Fault::Status(413),
    ] {
        let before = proxy.counts().faults;
        proxy.add(Rule::new(fault).method("POST").path_contains("invocations").times(1));
        job().await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(proxy.counts().faults, before + 1, "{fault:?}");
    }
}

async fn repeated(place: Place) {
    let proxy = place.proxy().await;
    for (fault, words) in [
        (Fault::Status(403), "status 403"),
        (Fault::Replace("<html>"), "the function answers what is not understood"),
    ] {
        let fexec = place.executor(&proxy, ", max_workers: 4").await;
        fexec.map(sleeps, [1]).await.expect("a job").get_result().await.expect("it works");
        proxy.add(Rule::new(fault).method("POST").path_contains("invocations"));
        let futures = fexec.map(seed, 0..400).chunksize(4).await.expect("a job");
        let error = futures.get_result().await.expect_err("nothing works any more").to_string();
        assert!(error.contains("bad answers in a row") && error.contains(words), "{error}");
        proxy.clear();
    }
    // What has never worked is told at once.
    let fexec = place.executor(&proxy, "").await;
    fexec.map(sleeps, [1]).await.expect("a job").get_result().await.expect("it is deployed");
    let fexec = place.executor(&proxy, "").await;
    proxy.add(Rule::new(Fault::Status(403)).method("POST").path_contains("invocations"));
    let before = proxy.counts().ending(WHOLE);
    let futures = fexec.map(sleeps, [1]).await.expect("a job");
    let error = futures.get_result().await.expect_err("it is not allowed").to_string();
    assert!(error.contains("status 403") && !error.contains("in a row"), "{error}");
    assert_eq!(proxy.counts().ending(WHOLE), before + 1);
}

async fn deleted(place: Place) {
    let proxy = place.proxy().await;
    let wish = ", runtime: gone, max_workers: 2, runtime_timeout: 78";
    let fexec = place.executor(&proxy, wish).await;
    fexec.map(sleeps, [1]).await.expect("a job").get_result().await.expect("it works");
    let sources = Sources { yaml: Some(place.yaml(&proxy, wish)), file: None };
    let config = Config::load(&sources, &Environment::new(".")).expect("it is right");
    let backend = Connected::to(config).await.expect("a backend").backend;
    let all = backend.list_runtimes().await.expect("a list");
    let function = all.iter().find(|runtime| runtime.id.0.contains("gone")).expect("it is deployed");
    backend.delete_runtime(&function.id).await.expect("deleted");
    let results =
        fexec.map(sleeps, [1, 2, 3]).await.expect("a job").get_result().await.expect("deployed again");
    assert_eq!(results, [1, 2, 3]);
}

async fn damaged(place: Place) {
    let proxy = place.proxy().await;
    let sources = Sources { yaml: Some(place.yaml(&proxy, "")), file: None };
    let config = Config::load(&sources, &Environment::new(".")).expect("it is right");
    let named = Registry::builtin().and_then(|all| all.storage_of(&config).map(std::borrow::Cow::into_owned));
    let (storage, _) = {
        let mut config = config.clone();
        config.set("lithops", "storage", Value::from(named.expect("one")), Origin::Builder("storage"));
        StorageClient::open(&config).expect("a storage")
    };
    // Functions of their own, whose instances have fetched nothing.
    for (number, damage) in [None, Some("short"), Some("\u{0}\u{1}")].into_iter().enumerate() {
        let wish = format!(", max_workers: 3, runtime_timeout: {}", 60 + number);
        let program = storage.list_keys(storage.bucket(), "lithops.programs/").await.expect("a list");
        let fexec = place.executor(&proxy, &wish).await;
        if number == 0 {
            fexec.map(sleeps, [1]).await.expect("a job").get_result().await.expect("it is stored");
            continue;
        }
        for key in program.iter().filter(|key| key.ends_with(".zst")) {
            storage.put_object(storage.bucket(), key, damage.unwrap_or_default()).await.expect("damaged");
        }
        let results = fexec.map(sleeps, [1, 2, 3, 4, 5, 6]).await.expect("a job").get_result().await;
        assert_eq!(results.expect("it is stored again"), [1, 2, 3, 4, 5, 6]);
    }
}

async fn too_long(place: Place) {
    let proxy = place.proxy().await;
    let fexec = place.executor(&proxy, ", runtime_timeout: 6, max_workers: 8").await;
    let mut events = fexec.events();
    // Twelve seconds in one instance.
    let futures = fexec.map(sleeps, vec![1000; 12]).chunksize(12).await.expect("a job");
    let results = futures.get_result().await.expect("all of them");
    assert_eq!(results, vec![1000; 12]);
    let mut smaller = None;
    while let Some(event) = events.next().await {
        match event {
            JobEvent::Replanned { chunksize, .. } => smaller = Some(chunksize),
            JobEvent::Finished { .. } => break,
            _ => {}
        }
    }
    let smaller = smaller.expect("it says so");
    // Calls may begin for five and a half seconds: six of them, or fewer where the instance was slow to start.
    assert!((1..=6).contains(&smaller), "{smaller}");
    assert_eq!(futures.summary().lost_workers, 0, "nothing was lost for being too long");
}

async fn call_too_long(place: Place) {
    let proxy = place.proxy().await;
    let fexec = place.executor(&proxy, ", runtime_timeout: 3, worker_processes: 2").await;
    let futures = fexec.map(sleeps, [10, 20_000, 30, 40]).chunksize(4).await.expect("a job");
    let outcomes = futures.outcomes().await.expect("outcomes");
    let error = outcomes[1].as_ref().expect_err("it takes too long");
    assert_eq!(error.kind(), &CallErrorKind::TimedOut, "{error}");
    assert!(error.message().contains("which the platform limits"), "{error}");
    for (call, wanted) in [(0, 10), (2, 30), (3, 40)] {
        assert_eq!(outcomes[call].as_ref().ok(), Some(&wanted));
    }
}

async fn large(place: Place) {
    let proxy = place.proxy().await;
    let fexec = place.executor(&proxy, ", worker_processes: 2, max_workers: 2").await;
    // Each fits, all together do not.
    let futures = fexec.map(grows, vec![1_200_000; 8]).chunksize(8).await.expect("a job");
    let results = futures.get_result().await.expect("all of them");
    assert!(results.len() == 8 && results.iter().all(|bytes| bytes.len() == 1_200_000));
    let counts = proxy.counts();
    assert_eq!((counts.ending(WHOLE), counts.violations), (1, 0), "{counts:?}");
}

async fn instance_ends(place: Place) {
    let proxy = place.proxy().await;
    let fexec = place.executor(&proxy, ", worker_processes: 2, max_workers: 4").await;
    let futures = fexec.map(ends_its_instance, vec![5; 12]).chunksize(4).await.expect("a job");
    let outcomes = futures.outcomes().await.expect("outcomes");
    let error = outcomes[5].as_ref().expect_err("it ends its instance each time");
    assert_eq!(error.kind(), &CallErrorKind::WorkerLost, "{error}");
    assert!(
        error.message().contains("the function instance failed") && error.message().contains("request "),
        "{error}"
    );
    assert_eq!(outcomes.iter().flatten().count(), 11, "{outcomes:?}");
}

async fn greedy(place: Place) {
    let proxy = place.proxy().await;
    let fexec = place.executor(&proxy, ", worker_processes: 4, runtime_memory: 512, max_workers: 1").await;
    let futures = fexec.map(hoards, vec![2; 8]).chunksize(8).await.expect("a job");
    let outcomes = futures.outcomes().await.expect("outcomes");
    let error = outcomes[2].as_ref().expect_err("it takes more than there is");
    assert_eq!(error.kind(), &CallErrorKind::OutOfMemory, "{error}");
    assert!(error.message().contains("its limit of 512 MiB"), "{error}");
    assert_eq!(outcomes.iter().flatten().count(), 7, "{outcomes:?}");
    assert_eq!(futures.summary().lost_workers, 0);
}

async fn cancel(place: Place) {
    let proxy = place.proxy().await;
    let fexec = place.executor(&proxy, ", runtime_timeout: 5, max_workers: 3").await;
    let mut events = fexec.events();
    let futures = fexec.map(sleeps, vec![1500; 30]).await.expect("a job");
    while proxy.counts().now == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    futures.cancel().await.expect("cancelled");
    let outcomes = futures.outcomes().await.expect("outcomes");
    let error = outcomes[29].as_ref().expect_err("it was never begun");
    assert_eq!(error.kind(), &CallErrorKind::Cancelled);
    assert!(error.message().contains("cannot be ended at once and runs on, for 5s at most"), "{error}");
    loop {
        match events.next().await.expect("an event") {
            JobEvent::RunsOn { workers, at_most, .. } => {
                assert!((1..=3).contains(&workers) && at_most == Some(Duration::from_secs(5)));
                break;
            }
            _ => continue,
        }
    }
    let before = proxy.counts().ending(WHOLE);
    assert!(before <= 3, "no new work was begun: {before}");
}

async fn unwanted(place: Place) {
    let proxy = place.proxy().await;
    let folder = tempfile::tempdir_in(&place.folder).expect("a folder");
    // The instances look more often than they would, so that nothing here takes its time.
    let wish = ", runtime_timeout: 600, max_workers: 2, env_vars: {LITHOPS_LOOK: '0.05'}";
    let fexec = place.executor(&proxy, wish).await;
    let futures = fexec.map(stays, vec![folder.path().to_owned(); 2]).await.expect("a job");
    let process =
        |call: u64| fs::read_to_string(folder.path().join(format!("stays-{call}"))).unwrap_or_default();
    let lives = |process: &str| std::path::Path::new("/proc").join(process).exists();
    while process(0).is_empty() || process(1).is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (one, other) = (process(0), process(1));
    assert!(lives(&one) && lives(&other));
    futures.cancel().await.expect("cancelled");
    let outcomes = futures.outcomes().await.expect("outcomes");
    let error = outcomes[0].as_ref().expect_err("it was cancelled");
    assert!(error.message().contains("runs on, for 15s at most"), "{error}");
    // The platform would let them run for ten minutes.
    while lives(&one) || lives(&other) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The instances are free again, and serve the next job.
    let again = fexec.map(sleeps, vec![1; 4]).await.expect("a job").get_result().await;
    assert_eq!(again.expect("results"), [1; 4]);
    let storage = fexec.storage();
    let left = format!("lithops.jobs/{}/", futures.job_id());
    while !storage.list_keys(storage.bucket(), &left).await.expect("a list").is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn deploys(place: Place) {
    let proxy = place.proxy().await;
    let yaml = place.yaml(&proxy, ", runtime: once, runtime_timeout: 77");
    let connect = async || {
        let sources = Sources { yaml: Some(yaml.clone()), file: None };
        let config = Config::load(&sources, &Environment::new(".")).expect("it is right");
        Connected::to(config).await.expect("a backend").backend
    };
    let (one, other) = (connect().await, connect().await);
    let own = std::env::current_exe().expect("this program");
    let spec = RuntimeSpec::new("once", own);
    let (first, second) = tokio::join!(one.deploy_runtime(&spec), other.deploy_runtime(&spec));
    let (first, second) = (first.expect("deployed"), second.expect("deployed"));
    assert_eq!(first, second);
    let listed = one.list_runtimes().await.expect("a list");
    assert_eq!(listed.iter().filter(|runtime| runtime.id == first.id).count(), 1, "{listed:?}");
    other.delete_runtime(&first.id).await.expect("deleted");
    assert!(!one.list_runtimes().await.expect("a list").contains(&first));
}

async fn mistakes(place: Place) {
    let proxy = place.proxy().await;
    let fexec = place.executor(&proxy, ", runtime: mistakes").await;
    proxy.add(Rule::new(Fault::Status(403)).path_contains("/functions/"));
    let error =
        fexec.map(sleeps, [1]).await.expect("a job").get_result().await.expect_err("refused").to_string();
    assert!(error.contains("look at the function `lithops-mistakes-"), "{error}");
    let builder = FunctionExecutor::builder().config_yaml(without_role(&place));
    let fexec = builder.progress(false).ctrl_c(false).build().await.expect("an executor");
    let error =
        fexec.map(sleeps, [1]).await.expect("a job").get_result().await.expect_err("no role").to_string();
    assert!(error.contains("`execution_role` is missing"), "{error}");
}

/// A configuration without a role.
fn without_role(place: &Place) -> String {
    let Place { server, sections, more, .. } = place;
    format!(
        "lithops: {{backend: aws_lambda, history: false}}\n\
         aws: {{access_key_id: test, secret_access_key: test, region: us-east-1}}\n\
         aws_lambda: {{endpoint: 'http://{server}'{more}, runtime: nowhere}}\n{sections}\n"
    )
}
