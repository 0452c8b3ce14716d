//! Every way a call can end badly gets its own true error, and the other calls of the map succeed.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "these calls misbehave on purpose")]

use std::{path::PathBuf, time::Duration};

use lithops::prelude::*;

lithops::test_worker!();

/// What the call in the middle does.
#[lithops::function]
fn misbehave(id: CallId, (how, victim): (String, u64)) -> Result<u64, String> {
    let number = u64::from(id);
    if number != victim {
        return Ok(number * 2);
    }
    println!("about to {how}");
    match how.as_str() {
        "panic" => panic!("no {number}"),
        "err" => Err(format!("refused {number}")),
        "exit" => std::process::exit(3),
        "abort" => std::process::abort(),
        "segfault" => {
            write_to_nowhere();
            Ok(0)
        }
        "hang" => loop {
            std::thread::sleep(Duration::from_secs(1));
        },
        "flood" => {
            let line = "x".repeat(99);
            (0..200_000).for_each(|_| println!("{line}"));
            println!("the end");
            Ok(number * 2)
        }
        "runaway" => {
            std::process::Command::new("yes").status().expect("it never ends");
            Ok(0)
        }
        other => Err(format!("what is {other}?")),
    }
}

#[expect(unsafe_code, reason = "there is no safe way to a segmentation fault")]
fn write_to_nowhere() {
    // SAFETY: none: this is the fault that the test is about.
    unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) };
}

/// Runs 200 calls of which number 77 misbehaves; checks the others and gives that call's outcome and log.
async fn misbehaving(how: &str) -> (Result<u64, CallError>, String) {
    let fexec = FunctionExecutor::builder().worker_processes(4).build().await.expect("an executor");
    let inputs: Vec<_> = (0..200).map(|_| (how.to_owned(), 77u64)).collect();
    let futures =
        fexec.map(misbehave, inputs).chunksize(8).timeout(Duration::from_secs(3)).await.expect("a job");
    let outcomes: Vec<Result<u64, CallError>> = futures.outcomes().await.expect("outcomes");
    assert_eq!(outcomes.len(), 200);
    for (number, outcome) in outcomes.iter().enumerate().filter(|(number, _)| *number != 77) {
        assert_eq!(
            outcome.as_ref().ok(),
            Some(&(number as u64 * 2)),
            "call {number} while one does {how}: {outcome:?}"
        );
    }
    let failed: Vec<_> = futures.failed().iter().map(|call| u64::from(call.call_id())).collect();
    assert_eq!(failed, outcomes[77].as_ref().map_or(vec![77], |_| Vec::new()));
    let log = futures[77].logs().await.expect("a log");
    if let Err(error) = &outcomes[77] {
        let first = futures.get_result().await.expect_err("a call has failed");
        assert_eq!(first.kind(), lithops::ErrorKind::CallFailed);
        assert!(first.to_string().starts_with("call 77 of "), "{first}");
        assert_eq!(error.call_id(), Some(CallId::from(77)));
    }
    (outcomes.into_iter().nth(77).expect("call 77"), log)
}

#[tokio::test]
async fn a_panic() {
    let (outcome, log) = misbehaving("panic").await;
    let error = outcome.expect_err("it panicked");
    assert_eq!(error.kind(), &CallErrorKind::Panicked);
    assert!(error.message().contains("no 77") && error.message().contains("tests/failures.rs:"), "{error}");
    assert!(error.backtrace().is_some_and(|backtrace| backtrace.contains("misbehave")), "{error:?}");
    assert!(
        log.starts_with("about to panic\n")
            && error.log_tail().contains("about to panic\n")
            && log.contains("panicked at"),
        "{log}"
    );
    assert!(!error.log_tail().contains("stack backtrace"), "{}", error.log_tail());
}

#[tokio::test]
async fn an_err() {
    let (outcome, log) = misbehaving("err").await;
    let error = outcome.expect_err("it failed");
    assert_eq!((error.kind(), error.message()), (&CallErrorKind::Failed, "refused 77"));
    assert_eq!(log, "about to err\n");
}

#[tokio::test]
async fn an_exit() {
    let (outcome, log) = misbehaving("exit").await;
    let error = outcome.expect_err("it ended its process");
    assert_eq!(error.kind(), &CallErrorKind::Crashed { signal: None, exit_code: Some(3) });
    assert_eq!((log.as_str(), error.log_tail()), ("about to exit\n", "about to exit\n"));
}

#[tokio::test]
async fn an_abort() {
    let (outcome, _) = misbehaving("abort").await;
    assert_eq!(
        outcome.expect_err("aborted").kind(),
        &CallErrorKind::Crashed { signal: Some(6), exit_code: None }
    );
}

#[tokio::test]
async fn a_segfault() {
    let (outcome, log) = misbehaving("segfault").await;
    let error = outcome.expect_err("it died");
    assert_eq!(error.kind(), &CallErrorKind::Crashed { signal: Some(11), exit_code: None });
    assert_eq!(log, "about to segfault\n");
}

#[tokio::test]
async fn a_call_that_never_returns() {
    let (outcome, log) = misbehaving("hang").await;
    let error = outcome.expect_err("it timed out");
    assert_eq!(error.kind(), &CallErrorKind::TimedOut);
    assert!(error.message().contains("3s"), "{error}");
    assert_eq!(log, "about to hang\n");
}

#[tokio::test]
async fn twenty_megabytes_of_output() {
    let (outcome, log) = misbehaving("flood").await;
    assert_eq!(outcome.expect("it returned"), 154);
    assert!(log.len() < 2 << 20, "capped: {} bytes", log.len());
    assert!(log.starts_with("about to flood\nxxx") && log.ends_with("the end\n"), "head and tail are kept");
    let left_out = log.lines().find(|line| line.starts_with("[... ")).expect("says how much was left out");
    let count: u64 = left_out.split(' ').nth(1).and_then(|count| count.parse().ok()).expect("a number");
    assert_eq!(
        count + log.len() as u64,
        20_000_000 + 15 + 8 + left_out.len() as u64 + 2,
        "nothing is miscounted"
    );
}

#[lithops::function]
fn killed_once(context: CallContext, parent: u32) -> u32 {
    if context.attempt() == 1 && u64::from(context.call_id()) == 5 {
        assert_ne!(parent, std::process::id());
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
            .expect("a signal");
        std::thread::sleep(Duration::from_secs(60));
    }
    context.attempt()
}

#[tokio::test]
async fn a_sub_worker_that_is_killed_from_outside_costs_an_attempt_and_nothing_else() {
    let fexec = FunctionExecutor::builder().worker_processes(2).build().await.expect("an executor");
    let futures = fexec.map(killed_once, vec![std::process::id(); 20]).await.expect("a job");
    let attempts = futures.get_result().await.expect("results");
    assert_eq!(attempts[5], 2);
    assert!(attempts.iter().enumerate().all(|(call, attempt)| call == 5 || *attempt <= 2), "{attempts:?}");
}

#[lithops::function]
fn always_killed(_x: u32) -> u32 {
    println!("last words");
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
        .expect("a signal");
    std::thread::sleep(Duration::from_secs(60));
    0
}

#[tokio::test]
async fn a_call_that_is_always_killed_ends_as_crashed_with_its_log() {
    let fexec = FunctionExecutor::builder().worker_processes(2).build().await.expect("an executor");
    let outcome =
        fexec.call_async(always_killed, 1).await.expect("a call").outcome().await.expect("an outcome");
    let error = outcome.expect_err("killed");
    assert_eq!(error.kind(), &CallErrorKind::Crashed { signal: Some(9), exit_code: None });
    assert_eq!((error.attempts(), error.log_tail()), (4, "last words\n"));
}

#[lithops::function(at_most_once)]
fn killed_but_once(_x: u32) -> u32 {
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
        .expect("a signal");
    std::thread::sleep(Duration::from_secs(60));
    0
}

#[tokio::test]
async fn at_most_once_is_not_tried_again() {
    let fexec = FunctionExecutor::builder().worker_processes(2).build().await.expect("an executor");
    let outcome =
        fexec.call_async(killed_but_once, 1).await.expect("a call").outcome().await.expect("an outcome");
    let error = outcome.expect_err("killed");
    assert_eq!((error.kind(), error.attempts()), (&CallErrorKind::WorkerLost, 1));
}

/// Call 3 kills its worker, each time; those after it do not end in the worker that is killed first,
/// whose pid call 3 has left in `killed`.
#[lithops::function]
fn kill_the_worker(id: CallId, killed: PathBuf) -> u32 {
    let worker = std::os::unix::process::parent_id();
    if u64::from(id) == 3 {
        if !killed.exists() {
            let written = killed.with_extension("written");
            std::fs::write(&written, worker.to_string()).expect("a file");
            std::fs::rename(written, &killed).expect("a file");
        }
        let parent = rustix::process::getppid().expect("a parent");
        rustix::process::kill_process(parent, rustix::process::Signal::KILL).expect("a signal");
        std::thread::sleep(Duration::from_secs(60));
    }
    while u64::from(id) > 3 && !killed.exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    if u64::from(id) > 3 && std::fs::read_to_string(killed).expect("a pid") == worker.to_string() {
        std::thread::sleep(Duration::from_secs(60));
    }
    worker
}

#[tokio::test]
async fn a_worker_that_always_dies_ends_the_call_and_not_the_job() {
    let folder = tempfile::tempdir().expect("a folder");
    let killed = folder.path().join("killed");
    let fexec = FunctionExecutor::builder().worker_processes(2).build().await.expect("an executor");
    let futures = fexec.map(kill_the_worker, vec![killed.clone(); 10]).chunksize(1).await.expect("a job");
    let outcomes = futures.outcomes().await.expect("outcomes");
    let error = outcomes[3].as_ref().expect_err("its worker dies each time");
    assert_eq!(error.kind(), &CallErrorKind::WorkerLost);
    assert!(error.message().contains("signal 9"), "{error}");
    // The one that runs beside it may be lost with it as often.
    assert!(outcomes.iter().flatten().count() >= 8, "{outcomes:?}");
    let first: u32 = std::fs::read_to_string(killed).expect("a pid").parse().expect("a pid");
    assert!(outcomes[4..].iter().flatten().all(|worker| *worker != first), "{outcomes:?}");
}

/// Holds 64 MB, uses a tenth of a second of CPU time, and then waits for its end or dies.
#[lithops::function]
fn burn(dies: bool) -> u64 {
    let held = vec![1u8; 64 << 20];
    let mut sum = 0u64;
    while cpu_seconds() < 0.1 {
        sum += held.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    }
    if dies {
        std::process::abort();
    }
    loop {
        std::thread::sleep(Duration::from_secs(1 + sum % 2));
    }
}

/// The CPU time of this process so far.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[tokio::test]
async fn what_an_ended_call_has_used_is_counted() {
    let fexec = FunctionExecutor::builder().worker_processes(1).build().await.expect("an executor");
    for dies in [false, true] {
        let futures =
            fexec.map(burn, [dies]).timeout(Duration::from_secs(5)).retries(0).await.expect("a job");
        let outcomes: Vec<Result<u64, CallError>> = futures.outcomes().await.expect("outcomes");
        assert!(outcomes[0].is_err(), "{outcomes:?}");
        let stats = futures[0].stats().expect("it has ended");
        assert!(stats.cpu >= Duration::from_millis(90) && stats.peak_memory > 64 << 20, "{stats:?}");
    }
}

/// It does not end when it is asked to, and returns a little after its timeout.
#[lithops::function]
async fn deaf(millis: u64) -> u64 {
    use tokio::signal::unix::{SignalKind, signal};
    let mut asked = signal(SignalKind::terminate()).expect("a handler");
    tokio::time::timeout(Duration::from_millis(millis), async { while asked.recv().await.is_some() {} })
        .await
        .ok();
    tokio::time::sleep(Duration::from_millis(30)).await;
    millis
}

#[lithops::function]
fn sleep(millis: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(millis));
    millis
}

/// The only sub-worker is free again: a call on it returns.
async fn still_works(fexec: &FunctionExecutor) {
    assert_eq!(fexec.call_async(sleep, 1).await.expect("a call").result().await.expect("a value"), 1);
}

#[tokio::test]
async fn a_call_that_is_deaf_to_its_timeout_does_not_keep_the_sub_worker() {
    let fexec = FunctionExecutor::builder().worker_processes(1).build().await.expect("an executor");
    for millis in [250, 60_000] {
        let call = fexec.call_async(deaf, millis).timeout(Duration::from_millis(200)).await.expect("a call");
        // The one returns after its timeout, before it is killed; the other is killed.
        let outcome = call.outcome().await.expect("an outcome");
        assert!(
            outcome.is_ok() || outcome.as_ref().is_err_and(|error| error.kind() == &CallErrorKind::TimedOut)
        );
        assert!(millis == 250 || outcome.is_err(), "{outcome:?}");
        still_works(&fexec).await;
    }
}

#[tokio::test]
async fn a_job_that_ends_with_an_error_leaves_nothing_running() {
    let fexec = FunctionExecutor::builder().worker_processes(1).build().await.expect("an executor");
    let inputs = (0..9).map(|call| if call == 3 { panic!("no more") } else { 1_000_000 });
    let futures = fexec.map(sleep, inputs).await.expect("a job");
    futures.get_result().await.expect_err("the inputs end badly");
    still_works(&fexec).await;
    let mut completed = futures.as_completed();
    while let Some(call) = completed.next().await {
        call.outcome().expect_err("none has a value");
    }
    assert!(completed.next().await.is_none());
    futures.get_result().await.expect_err("looking at what is completed does not hide the error");
}

#[lithops::function]
fn sum(numbers: Vec<u64>) -> u64 {
    numbers.iter().sum()
}

#[tokio::test]
async fn a_cancelled_map_reduce_ends_its_maps() {
    let fexec = FunctionExecutor::builder().worker_processes(1).build().await.expect("an executor");
    let reduced = fexec.map_reduce(sleep, [1_000_000, 1_000_000], sum).await.expect("a job");
    reduced.cancel().await.expect("cancelled");
    still_works(&fexec).await;
    let error = reduced.outcome().await.expect("an outcome").expect_err("cancelled");
    assert_eq!(error.kind(), &CallErrorKind::Cancelled);
}

#[tokio::test]
async fn a_runaway_printer_does_not_stop_the_worker() {
    let fexec = FunctionExecutor::builder().worker_processes(2).build().await.expect("an executor");
    let printer = fexec.call_async(misbehave, ("runaway".to_owned(), 0)).timeout(Duration::from_millis(500));
    let printer = printer.await.expect("a call");
    still_works(&fexec).await;
    let error = printer.outcome().await.expect("an outcome").expect_err("it never ends by itself");
    assert_eq!(error.kind(), &CallErrorKind::TimedOut);
}

/// Ends its process for every fourth number.
#[lithops::function]
fn end_some(number: u64) -> u64 {
    if number.is_multiple_of(4) {
        std::process::exit(3);
    }
    number
}

#[tokio::test]
async fn a_sub_worker_that_is_replaced_is_counted_once() {
    let fexec = FunctionExecutor::builder().worker_processes(2).build().await.expect("an executor");
    let futures = fexec.map(end_some, 0..40).await.expect("a job");
    let failed =
        futures.outcomes().await.expect("outcomes").iter().filter(|outcome| outcome.is_err()).count();
    let summary = futures.summary();
    assert_eq!((failed, summary.failed), (10, 10));
    assert!(summary.sub_workers <= 2 && summary.processes > 2, "{summary:?}");
    // Twelve processes in two places: with each of them counted as a place it would be a sixth of this.
    let places = summary.run_time.as_secs_f64() / summary.makespan.as_secs_f64() / summary.sub_workers as f64;
    assert!((summary.utilisation - places.min(1.0)).abs() < 1e-9, "{summary:?}");
}
