//! Plans of real jobs: what auto chooses and corrects, what is remembered, predicted and priced, and what is refused.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lithops::{Basis, Durations, ErrorKind, Workload, prelude::*};

lithops::test_worker!();

#[lithops::function]
fn nap(millis: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(millis));
    millis
}

#[lithops::function]
fn compute(rounds: u64) -> u64 {
    (0..rounds * 1000).fold(rounds, |number, round| std::hint::black_box(number.rotate_left(3) ^ round))
}

#[lithops::function]
fn total(values: Vec<u64>) -> u64 {
    values.into_iter().sum()
}

/// An executor of its own storage, with what else is configured.
async fn executor(root: &Path, yaml: &str) -> FunctionExecutor {
    FunctionExecutor::builder()
        .config_yaml(yaml)
        .set("storage_root", root.to_str().expect("UTF-8"))
        .build()
        .await
        .expect("an executor")
}

/// One second of a worker costs a dollar here.
const PRICED: &str = "localhost:\n  capabilities: {price: {worker_hour_usd: 3600}}\n";

#[tokio::test]
async fn a_plan_starts_nothing_and_takes_no_input() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = executor(root.path(), "").await;
    let taken = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&taken);
    let inputs: Vec<u64> = vec![1; 200];
    let inputs = inputs.into_iter().inspect(move |_| {
        counting.fetch_add(1, Ordering::Relaxed);
    });
    let plan = fexec.map(nap, inputs).chunksize(8).worker_processes(4).plan().await.expect("a plan");
    assert_eq!((plan.workers(), plan.worker_processes(), plan.chunksize()), (25, 4, 8));
    assert_eq!(plan.makespan(), None, "nothing is known of the calls");
    assert_eq!((taken.load(Ordering::Relaxed), plan.cost().usd), (0, Some(0.0)));
    assert!(!root.path().join("storage").exists(), "nothing was stored");
}

#[tokio::test]
async fn auto_gives_calls_that_wait_more_sub_workers_while_they_run() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = executor(root.path(), "").await;
    let cpus = std::thread::available_parallelism().expect("known").get();
    let futures = fexec.map(nap, [10; 400]).worker_processes(Auto).chunksize(Auto).await.expect("a job");
    assert_eq!(futures.plan().worker_processes(), cpus, "it starts small");
    assert_eq!(futures.get_result().await.expect("results"), [10; 400]);
    let plan = futures.plan();
    assert!(plan.worker_processes() > cpus * 3, "{plan}");
    assert!(matches!(plan.workload().expect("measured").basis, Basis::Measured { .. }), "{plan:?}");
    assert!(futures.summary().processes > cpus * 3, "{}", futures.summary());
}

#[tokio::test]
async fn auto_gives_calls_that_compute_the_cpus() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec =
        executor(root.path(), "lithops:\n  chunksize: AUTO\nlocalhost:\n  worker_processes: AUTO\n").await;
    let cpus = std::thread::available_parallelism().expect("known").get();
    let futures = fexec.map(compute, [500; 200]).await.expect("a job");
    futures.get_result().await.expect("results");
    let plan = futures.plan();
    assert!(plan.worker_processes() <= cpus * 2, "{plan}: {:?}", plan.workload());
}

#[tokio::test]
async fn what_a_job_took_is_remembered_and_the_next_is_planned_by_it() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = executor(root.path(), "").await;
    fexec.map(nap, [20; 40]).worker_processes(8).await.expect("a job").get_result().await.expect("results");
    drop(fexec);
    let fexec = executor(root.path(), "").await;
    let map = || fexec.map(nap, [20; 64]).worker_processes(Auto).chunksize(Auto);
    let plan = map().plan().await.expect("a plan");
    let workload = plan.workload().expect("remembered");
    assert_eq!(workload.basis, Basis::History { calls: 40 });
    assert!((0.017..0.04).contains(&workload.durations.mean()), "{workload}");
    assert!(plan.worker_processes() >= 16, "{plan}");
    let futures = map().await.expect("a job");
    assert_eq!(futures.plan().worker_processes(), plan.worker_processes(), "from the start");
    futures.get_result().await.expect("results");
    let summary = futures.summary();
    assert_eq!(summary.predicted_makespan, plan.makespan());
    assert!(summary.predicted_makespan.is_some() && summary.to_string().contains("predicted"), "{summary}");
}

#[tokio::test]
async fn what_a_durable_job_took_is_remembered_too() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = executor(root.path(), "").await;
    let futures = fexec.map(nap, [2; 40]).worker_processes(2).durable().await.expect("a job");
    futures.get_result().await.expect("results");
    drop((futures, fexec));
    let fexec = executor(root.path(), "").await;
    let plan = fexec.map(nap, [2; 40]).chunksize(Auto).plan().await.expect("a plan");
    assert_eq!(plan.workload().expect("remembered").basis, Basis::History { calls: 40 });
}

#[tokio::test]
async fn nothing_is_remembered_when_the_configuration_says_so() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = executor(root.path(), "lithops:\n  history: false\n").await;
    fexec.map(nap, [1; 8]).await.expect("a job").get_result().await.expect("results");
    assert!(fexec.map(nap, [1; 8]).plan().await.expect("a plan").workload().is_none());
    drop(fexec);
    assert!(!root.path().join("storage/lithops.history").exists());
}

#[tokio::test]
async fn a_history_that_cannot_be_read_harms_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = executor(root.path(), "").await;
    fexec.map(nap, [1; 8]).await.expect("a job").get_result().await.expect("results");
    drop(fexec);
    let mut files = vec![root.path().join("storage/lithops.history")];
    let mut spoilt = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(path).expect("a folder").flatten().map(|entry| entry.path()));
        } else {
            fs::write(path, br#"{"classes":{"3":[1,-1e999]}}"#).expect("writable");
            spoilt += 1;
        }
    }
    assert_eq!(spoilt, 1);
    let fexec = executor(root.path(), "").await;
    let futures = fexec.map(nap, [1; 8]).worker_processes(Auto).await.expect("a job");
    assert_eq!(futures.get_result().await.expect("results").len(), 8);
}

#[tokio::test]
async fn a_job_over_its_price_is_refused_before_anything_starts() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = executor(root.path(), PRICED).await;
    let second = Duration::from_secs(1);
    let map = |usd: f64| fexec.map(nap, [1; 10]).worker_processes(1).expected_duration(second).max_cost(usd);
    let error = map(9.0).await.expect_err("ten calls of a second, one after another, cost ten dollars");
    assert_eq!(error.kind(), ErrorKind::TooExpensive);
    let said = error.to_string();
    assert!(
        said.contains("$10.0") && said.contains("`max_cost` is $9") && said.contains("nothing was started"),
        "{said}"
    );
    let futures = map(11.0).await.expect("it is cheap enough");
    futures.get_result().await.expect("results");
    let summary = futures.summary();
    assert!(summary.cost_usd > 0.0 && summary.cost_usd < 5.0, "the calls took a millisecond each: {summary}");
    assert!((summary.cost_usd - summary.billed.as_secs_f64()).abs() < 1e-6, "a dollar a second: {summary}");
    assert!(summary.predicted_cost_usd.is_some_and(|usd| usd > 9.9), "{summary}");
}

#[tokio::test]
async fn a_price_limit_that_cannot_be_kept_is_an_error() {
    let root = tempfile::tempdir().expect("a folder");
    let free = executor(root.path(), "").await;
    assert_eq!(
        free.map(nap, [1; 3])
            .max_cost(0.0)
            .await
            .expect("it is free")
            .get_result()
            .await
            .expect("results")
            .len(),
        3
    );
    let fexec = executor(tempfile::tempdir().expect("a folder").path(), PRICED).await;
    let unknown =
        fexec.map(nap, [1; 3]).max_cost(1.0).await.expect_err("nobody knows what it costs").to_string();
    assert!(
        unknown.contains("not known how long calls take") && unknown.contains("`.expected_duration(..)`"),
        "{unknown}"
    );
    let lazy = (0..10u64).filter(|number| number % 2 == 0);
    let lazy = fexec.map(nap, lazy).expected_duration(Duration::from_secs(1)).max_cost(1.0).await;
    assert!(lazy.expect_err("nobody knows how many").to_string().contains("how many calls"));
    for usd in [-1.0, f64::NAN, f64::INFINITY] {
        let error = fexec.map(nap, [1; 3]).max_cost(usd).await.expect_err("no amount of money");
        assert!(
            error.kind() == ErrorKind::InvalidInput && error.to_string().contains("`max_cost` is"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn wrong_numbers_are_refused_wherever_they_are_written() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = executor(root.path(), "").await;
    let map = || fexec.map(nap, [1; 3]);
    for (key, started) in [
        ("`chunksize` is 0", map().chunksize(0)),
        ("`chunksize` is 18446744073709551615", map().chunksize(usize::MAX)),
        ("`worker_processes` is 0", map().worker_processes(0)),
        ("`worker_processes` is 5000", map().worker_processes(5000)),
        ("`runtime_memory` is 0", map().runtime_memory(0)),
        ("a call cannot take 0 seconds", map().expected_duration(Duration::ZERO)),
    ] {
        let error = started.await.expect_err(key);
        assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains(key), "{error}");
    }
    let workload = Workload::given(Durations::fixed(1.0).expect("a second"));
    let both = map().workload(workload).expected_duration(Duration::from_secs(2)).await;
    let both = both.expect_err("one of them is wrong").to_string();
    assert!(both.contains("`expected_duration` and `workload`") && both.contains("leave out"), "{both}");
    for (yaml, key) in [
        ("lithops:\n  chunksize: 0\n", "`chunksize`"),
        ("lithops:\n  chunksize: -4\n", "`chunksize`"),
        ("lithops:\n  chunksize: 2.5\n", "`chunksize`"),
        (
            "lithops:\n  objective: fast\n",
            "must be one of `time`, `cost`, `balanced`, found the string `fast` at line 2",
        ),
        ("lithops:\n  history: maybe\n", "`history`"),
        ("localhost:\n  worker_processes: -1\n", "`worker_processes`"),
        ("localhost:\n  worker_processes: .nan\n", "found `.nan`"),
        ("localhost:\n  max_workers: 0\n", "`max_workers`"),
        ("localhost:\n  max_workers: 1000000\n", "`max_workers` is 1000000, and the limit is"),
        ("localhost:\n  capabilities: {price: {worker_hour_usd: -1}}\n", "`price.worker_hour_usd`"),
        ("localhost:\n  capabilities: {startup: {cold: 0}}\n", "no duration above zero"),
        ("localhost:\n  capabilities: 7\n", "`capabilities`"),
    ] {
        let error = FunctionExecutor::builder().config_yaml(yaml).build().await.expect_err(yaml);
        assert!(error.to_string().contains(key), "{yaml}: {error}");
    }
    let builder = FunctionExecutor::builder().worker_processes(0).build().await.expect_err("refused");
    assert!(builder.to_string().contains("`worker_processes`"), "{builder}");
    for durations in [Durations::fixed(f64::NAN), Durations::exponential(-1.0), Durations::uniform(0.0, -1.0)]
    {
        assert_eq!(durations.expect_err("no duration").kind(), ErrorKind::InvalidInput);
    }
    let workload = Workload::given(Durations::fixed(1.0).expect("a second"));
    assert!(workload.with_cpu_share(f64::NAN).is_err());
}

#[tokio::test]
async fn the_stages_of_a_map_reduce_and_lazy_inputs_are_planned_too() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = executor(root.path(), "").await;
    let map_reduce = fexec.map_reduce(nap, [1; 50], total).chunksize(Auto).worker_processes(Auto);
    let sum = map_reduce.await.expect("a job").result().await.expect("a sum");
    assert_eq!(sum, 50);
    let lazy = (0..500u64).filter(|number| number % 2 == 0).map(|_| 1);
    let futures =
        fexec.map(nap, lazy).worker_processes(Auto).objective(Objective::Time).await.expect("a job");
    assert_eq!(futures.get_result().await.expect("results").len(), 250);
    assert_eq!(futures.plan().calls(), 250);
    let durable =
        fexec.map(nap, [1; 30]).worker_processes(Auto).chunksize(Auto).durable().await.expect("a job");
    assert_eq!(durable.get_result().await.expect("results").len(), 30);
}

#[tokio::test]
async fn a_summary_says_what_the_job_has_come_to() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = executor(root.path(), "").await;
    let futures = fexec.map(nap, [20; 32]).worker_processes(4).chunksize(8).await.expect("a job");
    futures.get_result().await.expect("results");
    let summary = futures.summary();
    assert_eq!(
        (summary.calls, summary.done, summary.failed, summary.hand_overs),
        (32, 32, 0, 4),
        "{summary}"
    );
    assert_eq!((summary.workers, summary.processes), (1, 4), "{summary}");
    assert!(summary.run_time >= Duration::from_millis(640), "{summary}");
    assert!(
        summary.makespan >= Duration::from_millis(160) && summary.makespan < summary.run_time,
        "{summary}"
    );
    assert!(summary.utilisation > 0.3 && summary.utilisation <= 1.0, "{summary}");
    assert!(summary.billed >= summary.makespan / 2, "{summary}");
    assert!(summary.to_string().contains("not predicted") && summary.cost_usd == 0.0, "{summary}");
}
