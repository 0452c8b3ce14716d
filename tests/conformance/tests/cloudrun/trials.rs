//! What must be true of jobs on Cloud Run beyond what every backend promises.

use std::{
    fs,
    future::Future,
    pin::Pin,
    time::{Duration, Instant},
};

use libtest_mimic::{Failed, Trial};
use lithops_core::{
    compute::{ComputeBackend, RuntimeSpec},
    config::{Config, Environment, Sources},
    registry::Connected,
};
use lithops_fake_cloudrun::Settings;

use super::{
    functions::{counted, ends_its_instance, meets, stays, stops_its_instance},
    place::Place,
};
use crate::CLIENT;

type Tried = Pin<Box<dyn Future<Output = ()> + Send>>;
type Run = fn() -> Tried;

/// Each with its name, and each with a fake of its own.
const TRIALS: &[(&str, Run)] = &[
    ("a_hundred_calls_at_1_and_1_are_a_hundred_instances", || Box::pin(hundred())),
    ("a_hundred_calls_at_4_vcpus_are_25_instances", || Box::pin(quarter())),
    ("two_thousand_calls_survive_a_failing_front_end", || Box::pin(faults())),
    ("clients_that_deploy_at_once_or_again_deploy_once", || Box::pin(deploys())),
    ("more_workers_raise_the_service_and_fewer_leave_it", || Box::pin(raised())),
    ("a_job_that_is_cancelled_ends_its_calls_in_their_instance", || Box::pin(cancelled())),
    ("the_clients_end_ends_the_calls_in_their_instance", || Box::pin(killed())),
    ("an_instance_that_ends_loses_no_other_call", || Box::pin(ended())),
    ("a_service_that_is_deleted_is_deployed_again", || Box::pin(deleted())),
    ("an_instance_that_says_nothing_is_lost_in_50_s", || Box::pin(silent())),
];

/// The trials. They count instances, and run one after the other.
pub(crate) fn trials() -> Vec<Trial> {
    let trial = |(trial, run): &(&str, Run)| {
        let run = *run;
        Trial::test(format!("gcp_cloudrun::{trial}"), move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            let tried = std::panic::catch_unwind(|| runtime.block_on(run()));
            runtime.shutdown_background();
            tried.map_err(|panic| {
                let words = panic.downcast_ref::<String>().cloned();
                let words = words.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
                Failed::from(words.unwrap_or_default())
            })
        })
    };
    TRIALS.iter().map(trial).collect()
}

async fn hundred() {
    let place = Place::start("hundred", Settings::default()).await;
    let fexec = place.executor(", max_workers: 100").await;
    let inputs = vec![(place.files("met"), 100usize); 100];
    let futures = fexec.map(meets, inputs).chunksize(1).await.expect("a job");
    assert_eq!(futures.plan().workers(), 100);
    assert_eq!(futures.get_result().await.expect("results").len(), 100);
    let counts = place.fake.counts();
    assert_eq!((counts.started, counts.most, counts.requests), (100, 100, 100), "{counts:?}");
}

async fn quarter() {
    let place = Place::start("quarter", Settings::default()).await;
    let fexec = place.executor(", runtime_cpu: 4, worker_processes: 4").await;
    let inputs = vec![(place.files("met"), 100usize); 100];
    let futures = fexec.map(meets, inputs).chunksize(4).await.expect("a job");
    assert_eq!(futures.plan().workers(), 25);
    let mut workers = futures.get_result().await.expect("results");
    workers.sort_unstable();
    workers.dedup();
    let counts = place.fake.counts();
    assert_eq!((workers.len(), counts.started, counts.most), (25, 25, 25), "{counts:?}");
}

#[expect(clippy::print_stderr, reason = "what was survived is worth a line")]
async fn faults() {
    const CALLS: u64 = 2000;
    let settings = Settings { faults: 20, ..Settings::default() };
    let place = Place::start("faults", settings).await;
    let folder = place.files("counted");
    let fexec = place.executor(", max_workers: 10").await;
    let futures = fexec.map(counted, vec![folder.clone(); CALLS as usize]).chunksize(4).await.expect("a job");
    let results = tokio::time::timeout(Duration::from_secs(240), futures.get_result()).await;
    let results = results.expect("it ends").expect("all of them");
    assert_eq!(results, (0..CALLS).map(|call| call * 3).collect::<Vec<_>>());
    let counts = place.fake.counts();
    assert!(counts.faults * 100 >= counts.requests * 15, "{counts:?}");
    let runs = fs::read_dir(&folder).expect("a folder").count() as u64;
    let summary = futures.summary();
    assert!(runs >= CALLS && runs - CALLS <= summary.retried, "{runs} runs, {summary:?}");
    eprintln!(
        "   {} of {} requests met a fault: {} calls ran again, {} were tried again",
        counts.faults,
        counts.requests,
        runs - CALLS,
        summary.retried
    );
}

async fn connect(place: &Place, wish: &str) -> std::sync::Arc<dyn ComputeBackend> {
    let sources = Sources { yaml: Some(place.yaml(wish)), file: None };
    let config = Config::load(&sources, &Environment::new(".")).expect("it is right");
    Connected::to(config).await.expect("a backend").backend
}

fn own() -> RuntimeSpec {
    RuntimeSpec::new("own", std::env::current_exe().expect("this program"))
}

async fn deploys() {
    let place = Place::start("deploys", Settings::default()).await;
    let (one, other) = (connect(&place, "").await, connect(&place, "").await);
    let spec = own();
    let (first, second) = tokio::join!(one.deploy_runtime(&spec), other.deploy_runtime(&spec));
    let (first, second) = (first.expect("deployed"), second.expect("deployed"));
    assert_eq!(first, second);
    let counts = place.fake.counts();
    assert_eq!(counts.writes, 1, "{counts:?}");
    let again = connect(&place, "").await.deploy_runtime(&spec).await.expect("deployed");
    assert_eq!((again, place.fake.counts()), (first.clone(), counts), "nothing was uploaded or changed");
    assert_eq!(one.list_runtimes().await.expect("a list"), std::slice::from_ref(&first));
    other.delete_runtime(&first.id).await.expect("deleted");
    assert_eq!(one.list_runtimes().await.expect("a list"), []);
    let error = one.delete_runtime(&first.id).await.expect_err("it is gone").to_string();
    assert!(error.contains(&first.id.0), "{error}");
}

async fn raised() {
    let place = Place::start("raised", Settings::default()).await;
    let spec = own();
    let first = connect(&place, ", max_workers: 2").await.deploy_runtime(&spec).await.expect("deployed");
    let more = connect(&place, ", max_workers: 5").await.deploy_runtime(&spec).await.expect("deployed");
    assert_eq!((first == more, place.fake.counts().writes), (true, 2));
    connect(&place, ", max_workers: 3").await.deploy_runtime(&spec).await.expect("deployed");
    assert_eq!(place.fake.counts().writes, 2);
}

/// Waits until a file is there, and reads it.
async fn read(file: std::path::PathBuf) -> String {
    loop {
        match fs::read_to_string(&file) {
            Ok(text) => return text,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// The process of a call ends within two seconds: that is what is promised of a client that goes.
async fn ends(process: &str) {
    let begun = Instant::now();
    let ends = async {
        while fs::metadata(format!("/proc/{process}")).is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ends).await.expect("the call is stopped");
    assert!(begun.elapsed() < Duration::from_secs(2), "after {:?}", begun.elapsed());
}

async fn cancelled() {
    let place = Place::start("cancelled", Settings::default()).await;
    let folder = place.files("stays");
    let fexec = place.executor(", max_workers: 1").await;
    let futures = fexec.map(stays, [folder.clone()]).await.expect("a job");
    let process = read(folder.join("process")).await;
    futures.cancel().await.expect("cancelled");
    ends(&process).await;
    // The same instance takes the next job.
    let met = fexec.map(meets, [(place.files("met"), 1usize)]).await.expect("a job");
    met.get_result().await.expect("a result");
    let counts = place.fake.counts();
    assert_eq!((counts.started, counts.reset), (1, 1), "{counts:?}");
}

async fn killed() {
    let place = Place::start("killed", Settings::default()).await;
    let folder = place.files("client.files");
    let yaml = folder.with_extension("yaml");
    fs::write(&yaml, place.yaml(", max_workers: 1")).expect("a file");
    let own = std::env::current_exe().expect("this program");
    let mut client = std::process::Command::new(own).env(CLIENT, &yaml).spawn().expect("a client");
    let process = read(folder.join("process")).await;
    client.kill().expect("it lives");
    client.wait().expect("it has ended");
    ends(&process).await;
    assert_eq!(place.fake.counts().reset, 1);
}

async fn ended() {
    let place = Place::start("ended", Settings::default()).await;
    let fexec = place.executor(", max_workers: 2").await;
    let futures = fexec.map(ends_its_instance, vec![place.files("ended"); 20]).await.expect("a job");
    assert_eq!(futures.get_result().await.expect("results"), (0..20).collect::<Vec<_>>());
}

async fn deleted() {
    let place = Place::start("deleted", Settings::default()).await;
    let fexec = place.executor(", max_workers: 2").await;
    let folder = place.files("counted");
    let job = async || fexec.map(counted, vec![folder.clone(); 4]).await.expect("a job").get_result().await;
    job().await.expect("results");
    let backend = connect(&place, "").await;
    for runtime in backend.list_runtimes().await.expect("a list") {
        backend.delete_runtime(&runtime.id).await.expect("deleted");
    }
    job().await.expect("results");
    assert_eq!(backend.list_runtimes().await.expect("a list").len(), 1);
}

async fn silent() {
    let place = Place::start("silent", Settings::default()).await;
    let fexec = place.executor(", max_workers: 2").await;
    let begun = Instant::now();
    let futures = fexec.map(stops_its_instance, vec![place.files("stopped"); 8]).chunksize(1).await;
    let results = futures.expect("a job").get_result().await.expect("results");
    assert_eq!(results, (0..8).collect::<Vec<_>>());
    // The deployment is a part of it.
    assert!((40..60).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}
