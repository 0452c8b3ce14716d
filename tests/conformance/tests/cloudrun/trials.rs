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
    executor::JobEvent,
    registry::Connected,
};
use lithops_fake_cloudrun::{Images, Settings};

use super::{
    functions::{counted, ends_its_instance, meets, stays, stops_its_instance},
    place::Place,
};
use crate::CLIENT;

type Tried = Pin<Box<dyn Future<Output = ()> + Send>>;
type Run = fn(Images) -> Tried;

/// Trials with their names. Each has a service of its own.
type Trials = &'static [(&'static str, Run)];

/// They count instances and requests.
pub(crate) const COUNTING: Trials = &[
    ("a_hundred_calls_at_1_and_1_are_a_hundred_instances", |images| Box::pin(hundred(images))),
    ("a_hundred_calls_at_4_vcpus_are_25_instances", |images| Box::pin(quarter(images))),
    ("two_thousand_calls_survive_a_failing_front_end", |images| Box::pin(faults(images))),
    ("clients_that_deploy_at_once_or_again_deploy_once", |images| Box::pin(deploys(images))),
    ("more_workers_raise_the_service_and_fewer_leave_it", |images| Box::pin(raised(images))),
    ("what_is_kept_for_nobody_is_found_and_removed", |images| Box::pin(kept(images))),
    ("an_instance_that_ends_loses_no_other_call", |images| Box::pin(ended(images))),
    ("a_service_that_is_deleted_is_deployed_again", |images| Box::pin(deleted(images))),
];
/// They look at how long something takes, and nothing runs beside them.
pub(crate) const TIMED: Trials = &[
    ("a_job_that_is_cancelled_ends_its_calls_in_their_instance", |images| Box::pin(cancelled(images))),
    ("the_clients_end_ends_the_calls_in_their_instance", |images| Box::pin(killed(images))),
];
/// It waits for what lasts three heartbeats.
pub(crate) const WAITING: Trials =
    &[("an_instance_that_says_nothing_is_lost_in_50_s", |images| Box::pin(silent(images)))];

/// The trials, with the images that were pushed for others.
pub(crate) fn of(trials: Trials, images: &Images) -> Vec<Trial> {
    let trial = |(trial, run): &(&str, Run)| {
        let (run, images) = (*run, images.clone());
        Trial::test(format!("gcp_cloudrun::{trial}"), move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            let tried = std::panic::catch_unwind(|| runtime.block_on(run(images)));
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

fn with(images: Images) -> Settings {
    Settings { images: Some(images), ..Settings::default() }
}

async fn hundred(images: Images) {
    let place = Place::start("hundred", with(images)).await;
    let fexec = place.executor(", max_workers: 100").await;
    let inputs = vec![(place.files("met"), 100usize); 100];
    let futures = fexec.map(meets, inputs).chunksize(1).await.expect("a job");
    assert_eq!(futures.plan().workers(), 100);
    assert_eq!(futures.get_result().await.expect("results").len(), 100);
    let counts = place.fake.counts();
    assert_eq!((counts.started, counts.most, counts.requests), (100, 100, 100), "{counts:?}");
}

async fn quarter(images: Images) {
    let place = Place::start("quarter", with(images)).await;
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
async fn faults(images: Images) {
    const CALLS: u64 = 2000;
    let settings = Settings { faults: 20, ..with(images) };
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

async fn deploys(_: Images) {
    // Here the image is pushed, by two at once.
    let place = Place::start("deploys", Settings::default()).await;
    let (one, other) = (connect(&place, "").await, connect(&place, "").await);
    let spec = own();
    let (first, second) = tokio::join!(one.deploy_runtime(&spec), other.deploy_runtime(&spec));
    let (first, second) = (first.expect("deployed"), second.expect("deployed"));
    assert_eq!(first, second);
    let counts = place.fake.counts();
    // The repository of images, and the service.
    assert_eq!(counts.writes, 2, "{counts:?}");
    let again = connect(&place, "").await.deploy_runtime(&spec).await.expect("deployed");
    assert_eq!((again, place.fake.counts()), (first.clone(), counts), "nothing was uploaded or changed");
    assert_eq!(one.list_runtimes().await.expect("a list"), std::slice::from_ref(&first));
    other.delete_runtime(&first.id).await.expect("deleted");
    assert_eq!(one.list_runtimes().await.expect("a list"), []);
    let error = one.delete_runtime(&first.id).await.expect_err("it is gone").to_string();
    assert!(error.contains(&first.id.0), "{error}");
}

async fn raised(images: Images) {
    let place = Place::start("raised", with(images)).await;
    let spec = own();
    let first = connect(&place, ", max_workers: 2").await.deploy_runtime(&spec).await.expect("deployed");
    let more = connect(&place, ", max_workers: 5").await.deploy_runtime(&spec).await.expect("deployed");
    // The repository of images, the service, and its number of instances.
    assert_eq!((first == more, place.fake.counts().writes), (true, 3));
    connect(&place, ", max_workers: 3").await.deploy_runtime(&spec).await.expect("deployed");
    assert_eq!(place.fake.counts().writes, 3);
}

async fn kept(images: Images) {
    let place = Place::start("kept", with(images)).await;
    let spec = own();
    let backend = connect(&place, ", min_workers: 2").await;
    let kept = backend.deploy_runtime(&spec).await.expect("deployed");
    connect(&place, "").await.deploy_runtime(&spec).await.expect("deployed");
    assert_eq!(backend.leftovers().await.expect("a list"), [], "it was used just now");
    place.fake.annotate(&kept.id.0, "lithops.used", "1700000000").await;
    let left = backend.leftovers().await.expect("a list");
    let [left] = left.as_slice() else { panic!("{left:?}") };
    assert_eq!(left.id, kept.id.0);
    // 2 instances of 1 vCPU and 2 GiB.
    assert!(left.usd_per_hour.is_some_and(|cost| (cost - 0.054).abs() < 1e-9), "{left:?}");
    // A client that begins to use it again keeps it.
    connect(&place, ", min_workers: 2").await.deploy_runtime(&spec).await.expect("deployed");
    backend.remove_leftover(left).await.expect("it is left alone");
    assert_eq!(backend.list_runtimes().await.expect("a list").len(), 2);
    place.fake.annotate(&kept.id.0, "lithops.used", "1700000000").await;
    backend.remove_leftover(left).await.expect("removed");
    backend.remove_leftover(left).await.expect("it is gone");
    assert_eq!(backend.list_runtimes().await.expect("a list").len(), 1);
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

async fn cancelled(images: Images) {
    let place = Place::start("cancelled", with(images)).await;
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

async fn killed(images: Images) {
    let place = Place::start("killed", with(images)).await;
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

async fn ended(images: Images) {
    let place = Place::start("ended", with(images)).await;
    let fexec = place.executor(", max_workers: 2").await;
    let futures = fexec.map(ends_its_instance, vec![place.files("ended"); 20]).await.expect("a job");
    assert_eq!(futures.get_result().await.expect("results"), (0..20).collect::<Vec<_>>());
}

async fn deleted(images: Images) {
    let place = Place::start("deleted", with(images)).await;
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

#[expect(clippy::print_stderr, reason = "the time is what was asked for")]
async fn silent(images: Images) {
    let place = Place::start("silent", with(images)).await;
    let fexec = place.executor(", max_workers: 2").await;
    let folder = place.files("stopped");
    let mut events = fexec.events();
    let futures = fexec.map(stops_its_instance, vec![folder.clone(); 8]).chunksize(1).await.expect("a job");
    let reason = loop {
        if let JobEvent::WorkerLost { reason, .. } = events.next().await.expect("the job goes on") {
            break reason;
        }
    };
    // The instance has made the file just before it was stopped.
    let stopped = fs::metadata(folder.join("stopped")).expect("a file").modified().expect("a time");
    let silence = stopped.elapsed().expect("it was before");
    assert!(reason.contains("has said nothing for 45s"), "{reason}");
    assert!(silence < Duration::from_secs(50), "{silence:?}");
    assert_eq!(futures.get_result().await.expect("results"), (0..8).collect::<Vec<_>>());
    eprintln!("   an instance that was stopped is lost {:.1} s later", silence.as_secs_f64());
}
