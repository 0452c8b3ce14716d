//! Functions that start executors of their own: their calls run in the worker that they run in themselves.

#![expect(clippy::print_stdout, reason = "the output of calls is part of what is tested")]

mod common;

use std::{
    collections::BTreeSet,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime},
};

use common::wait_for;
use lithops::{ErrorKind, blocking, prelude::*};
use rustix::process::{Pid, Signal, kill_process};

lithops::test_worker!();

type Fallible<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;
/// When something ran, and in which process of which worker.
type Ran = (SystemTime, SystemTime, u32, u32);

/// Sleeps a little, and says when.
fn work() -> Ran {
    let begun = SystemTime::now();
    std::thread::sleep(Duration::from_millis(3));
    (begun, SystemTime::now(), std::process::id(), std::os::unix::process::parent_id())
}

#[lithops::function]
fn leaf(_x: u32) -> Ran {
    work()
}

/// Works, has others work, and works again. Only while others do it is not counted.
#[lithops::function]
async fn branch((leaves, worker_processes): (u32, usize)) -> Fallible<Vec<Ran>> {
    let before = work();
    let fexec = FunctionExecutor::builder().worker_processes(worker_processes).max_workers(3).build().await?;
    let mut ran = fexec.map(leaf, 0..leaves).await?.get_result().await?;
    ran.extend([before, work()]);
    Ok(ran)
}

/// The most that ran at the same moment.
fn most_at_once(ran: &[Ran]) -> usize {
    let at = |moment| ran.iter().filter(|(begun, ended, ..)| *begun <= moment && moment < *ended).count();
    ran.iter().map(|(begun, ..)| at(*begun)).max().unwrap_or(0)
}

/// Runs branches with this many leaves each; no more than `worker_processes` of all that work may do so at once.
async fn branches(worker_processes: usize, nested: usize, branches: usize, leaves: u32) {
    let fexec =
        FunctionExecutor::builder().worker_processes(worker_processes).build().await.expect("an executor");
    // All are in the worker from the beginning, so that calls are given in advance behind others.
    let futures = fexec.map(branch, vec![(leaves, nested); branches]).chunksize(branches);
    let futures = futures.await.expect("a job");
    let ran = futures.get_result().await.expect("results");
    for branch in &ran {
        assert_eq!(branch.len(), leaves as usize + 2);
        let (_, _, parent, _) = branch.last().expect("itself");
        let leaves = &branch[..leaves as usize];
        assert!(leaves.iter().all(|(_, _, pid, _)| pid != parent), "a nested call has another process");
    }
    let ran = ran.concat();
    let workers: BTreeSet<_> = ran.iter().map(|(.., worker)| worker).collect();
    assert_eq!(workers.len(), 1, "nobody has started another worker");
    let most = most_at_once(&ran);
    assert!(most <= worker_processes, "{most} worked at once");
}

#[tokio::test]
async fn a_map_in_a_map_with_one_sub_worker() {
    branches(1, 1, 5, 6).await;
}

#[tokio::test]
async fn a_map_in_a_map_with_two_sub_workers() {
    branches(2, 2, 7, 5).await;
}

#[tokio::test]
async fn a_nested_job_cannot_raise_what_its_client_has_set() {
    branches(1, 8, 3, 8).await;
    branches(2, 8, 3, 8).await;
}

#[lithops::function]
fn square(x: u64) -> u64 {
    x * x
}

#[lithops::function]
fn sum(values: Vec<u64>) -> u64 {
    values.into_iter().sum()
}

#[lithops::function]
fn sum_of_squares(n: u64) -> Fallible<u64> {
    let fexec = blocking::FunctionExecutor::builder().build()?;
    Ok(fexec.map(square, 0..n).run()?.get_result()?.into_iter().sum())
}

#[tokio::test]
async fn fifty_maps_of_twenty_calls() {
    let fexec = FunctionExecutor::builder().worker_processes(2).build().await.expect("an executor");
    let sums = fexec.map(sum_of_squares, [20; 50]).await.expect("a job").get_result().await.expect("results");
    assert_eq!(sums, [2470; 50]);
}

#[tokio::test]
async fn a_nested_map_of_many_short_calls() {
    let fexec = FunctionExecutor::builder().worker_processes(1).build().await.expect("an executor");
    let sum = fexec.call_async(sum_of_squares, 20_000).await.expect("a call").result().await;
    assert_eq!(sum.expect("a value"), (0..20_000).map(|x| x * x).sum::<u64>());
}

/// Each call is a job of its own, and all are there at once. Gives their sum, and in how many processes they ran.
#[lithops::function]
async fn at_once(jobs: u64) -> Fallible<(u64, usize)> {
    let fexec = FunctionExecutor::builder().build().await?;
    let mut calls = Vec::new();
    for x in 0..jobs {
        calls.push(fexec.call_async(sum_of_squares, x % 5).await?);
    }
    let (mut sum, mut pids) = (0, BTreeSet::new());
    for call in calls {
        sum += call.result().await?;
        pids.extend(call.stats().map(|stats| stats.pid));
    }
    Ok((sum, pids.len()))
}

#[test]
fn many_nested_jobs_at_once_whose_calls_start_jobs() {
    for worker_processes in [1, 2] {
        let fexec = blocking::FunctionExecutor::builder().worker_processes(worker_processes).build();
        let fexec = fexec.expect("an executor");
        let sums = fexec.map(at_once, [40; 3]).run().expect("a job").get_result().expect("results");
        for (sum, processes) in sums {
            assert_eq!(sum, 8 * (1 + 5 + 14));
            // A call that waits keeps its process: deeper calls must go before calls that would wait as well.
            assert!(processes <= 9 * worker_processes, "{processes} processes");
        }
    }
}

#[lithops::function]
async fn reduces(n: u64) -> Fallible<u64> {
    let fexec = FunctionExecutor::builder().build().await?;
    Ok(fexec.map_reduce(square, 0..n, sum).await?.result().await?)
}

#[lithops::function]
fn reduces_and_blocks(n: u64) -> Fallible<u64> {
    let fexec = blocking::FunctionExecutor::builder().build()?;
    Ok(fexec.map_reduce(square, 0..n, sum).run()?.result()?)
}

#[tokio::test]
async fn a_map_reduce_in_a_map_reduce() {
    for worker_processes in [1, 2] {
        let fexec = FunctionExecutor::builder().worker_processes(worker_processes).build().await;
        let fexec = fexec.expect("an executor");
        let total = fexec.map_reduce(reduces, [4; 6], sum).await.expect("a job").result().await;
        assert_eq!(total.expect("a sum"), 6 * 14);
        let total = fexec.map_reduce(reduces_and_blocks, [4; 6], sum).await.expect("a job").result().await;
        assert_eq!(total.expect("a sum"), 6 * 14);
    }
}

#[lithops::function]
fn countdown(n: u32) -> Fallible<u32> {
    if n == 0 {
        return Ok(0);
    }
    let fexec = blocking::FunctionExecutor::builder().build()?;
    let below = fexec.map(countdown, [n - 1]).run()?.get_result()?;
    Ok(below[0] + 1)
}

#[lithops::function]
fn worker_of_this(_x: u32) -> u32 {
    std::os::unix::process::parent_id()
}

#[test]
fn recursion_works_to_its_limit_and_then_says_so() {
    let fexec = blocking::FunctionExecutor::builder().worker_processes(1).build().expect("an executor");
    let worker = fexec.call_async(worker_of_this, 0).run().expect("a call").result().expect("a worker");
    let depth = fexec.call_async(countdown, 8).run().expect("a call").result().expect("as deep as it may be");
    assert_eq!(depth, 8);
    let error = fexec.call_async(countdown, 1_000).run().expect("a call").result().expect_err("too deep");
    assert_eq!(error.kind(), ErrorKind::CallFailed);
    let words = format!("{error:?}");
    assert!(words.contains("the job would be nested 9 deep, and the limit is 8"), "{words}");
    assert!(words.contains("is it recursive?"), "{words}");
    // What ran in the place of those that waited goes when all is done, but for one level.
    wait_for("the surplus to end", || children(worker).len() <= 2);
    assert_eq!(fexec.call_async(countdown, 3).run().expect("a call").result().expect("a value"), 3);
}

#[lithops::function]
fn errs(x: u32) -> Result<u32, String> {
    println!("this is {x}");
    match x {
        1 => Err("it is one".to_owned()),
        2 => panic!("it is two"),
        3 => std::process::abort(),
        _ => Ok(x),
    }
}

#[lithops::function]
async fn sees_failures() -> Fallible<Vec<(String, String)>> {
    let fexec = FunctionExecutor::builder().build().await?;
    let futures = fexec.map(errs, 0..4).await?;
    let mut seen = Vec::new();
    for (call, outcome) in futures.outcomes().await?.into_iter().enumerate() {
        let outcome = outcome
            .map_or_else(|error| format!("{:?}: {}", error.kind(), error.message()), |x| x.to_string());
        seen.push((outcome, futures[call].logs().await?));
    }
    Ok(seen)
}

#[tokio::test]
async fn failures_and_output_come_to_the_nested_executor() {
    let fexec = FunctionExecutor::builder().worker_processes(2).build().await.expect("an executor");
    let call = fexec.call_async(sees_failures, ()).await.expect("a call");
    let seen = call.result().await.expect("a value");
    let begins = ["0", "Failed: it is one", "Panicked: it is two", "Crashed"];
    for (number, ((outcome, log), begin)) in seen.iter().zip(begins).enumerate() {
        assert!(outcome.starts_with(begin), "{outcome}");
        assert!(log.starts_with(&format!("this is {number}\n")), "{log}");
    }
    assert_eq!(call.logs().await.expect("a log"), "", "what nested calls print is not the parent's output");
}

#[lithops::function]
fn variable(name: String) -> Option<String> {
    std::env::var(name).ok()
}

/// A variable as it is here, in a nested call, and in a nested call that is given another value.
#[lithops::function]
fn variables(name: String) -> Fallible<Vec<Option<String>>> {
    let fexec = blocking::FunctionExecutor::builder().build()?;
    let here = std::env::var(&name).ok();
    let nested = fexec.call_async(variable, name.clone()).run()?.result()?;
    let other = fexec.call_async(variable, name.clone()).extra_env([(name, "other")]).run()?.result()?;
    Ok(vec![here, nested, other])
}

#[test]
fn variables_of_a_job_are_not_those_of_its_nested_jobs() {
    let fexec = blocking::FunctionExecutor::builder().worker_processes(1).build().expect("an executor");
    let call = fexec.map(variables, ["NESTED_TEST".to_owned(), "NESTED_TEST".to_owned()]);
    let seen = call.extra_env([("NESTED_TEST", "outer")]).run().expect("a job").get_result().expect("values");
    let expected = [Some("outer".to_owned()), None, Some("other".to_owned())];
    assert_eq!(seen, [expected.clone(), expected]);
}

#[lithops::function]
async fn stored(storage: StorageClient, key: String) -> lithops::Result<Bytes> {
    storage.get_object("nested", &key).await
}

/// Leaves an object through the storage of a nested executor, and has a nested call read it.
#[lithops::function]
async fn stores(key: String) -> Fallible<Bytes> {
    let fexec = FunctionExecutor::builder().build().await?;
    fexec.storage().put_object("nested", &key, Bytes::from(vec![7; 3])).await?;
    Ok(fexec.call_async(stored, key).await?.result().await?)
}

#[tokio::test]
async fn the_storage_is_that_of_the_parent() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().to_str().expect("text").to_owned();
    let builder = FunctionExecutor::builder().worker_processes(1).set("storage_root", root);
    let fexec = builder.build().await.expect("an executor");
    let call = fexec.call_async(stores, "key".to_owned()).await.expect("a call");
    assert_eq!(&call.result().await.expect("the object")[..], [7, 7, 7]);
    assert_eq!(&fexec.storage().get_object("nested", "key").await.expect("the object")[..], [7, 7, 7]);
}

/// Leaves the numbers of its process and of a child of its own in a folder, and sleeps.
#[lithops::function]
#[expect(clippy::zombie_processes, reason = "it is to be left behind")]
fn leave_numbers(id: CallId, folder: PathBuf) {
    let child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().expect("a child");
    let worker = std::os::unix::process::parent_id();
    let numbers = format!("{} {} {worker}", std::process::id(), child.id());
    fs::write(folder.join(format!("{id}.new")), numbers).expect("written");
    fs::rename(folder.join(format!("{id}.new")), folder.join(id.to_string())).expect("renamed");
    std::thread::sleep(Duration::from_secs(1000));
}

/// Starts two calls that sleep, one level further down when asked to, and does something when they run.
#[lithops::function]
fn has_sleepers((folder, then, levels): (PathBuf, String, u32)) -> Fallible<()> {
    let fexec = blocking::FunctionExecutor::builder().worker_processes(2).build()?;
    if levels > 0 {
        return Ok(fexec.call_async(has_sleepers, (folder, then, levels - 1)).run()?.result()?);
    }
    let sleepers = fexec.map(leave_numbers, vec![folder.clone(); 2]).run()?;
    wait_for("the nested calls", || numbers(&folder).len() == 2);
    match then.as_str() {
        "abort" => std::process::abort(),
        "cancel" => Ok(sleepers.cancel()?),
        _ => Ok(sleepers.get_result().map(drop)?),
    }
}

/// What the calls that run have left: their processes, and the worker's last.
fn numbers(folder: &Path) -> Vec<Vec<i32>> {
    let files = fs::read_dir(folder).expect("a folder").flatten();
    let files = files.filter(|file| file.path().extension().is_none());
    let numbers = |file: fs::DirEntry| {
        let text = fs::read_to_string(file.path()).expect("numbers");
        text.split(' ').map(|number| number.parse().expect("a number")).collect()
    };
    files.map(numbers).collect()
}

fn is_alive(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie has ended; whoever inherited it may take its time to notice.
    status.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with('Z'))
}

/// The live processes that a process has started.
fn children(parent: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").expect("processes").flatten();
    let all = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    all.filter(|pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let mut fields = status.rsplit(')').next().unwrap_or_default().split_whitespace();
        fields.next().is_some_and(|state| state != "Z") && fields.next() == Some(parent.to_string().as_str())
    })
    .collect()
}

/// Whether nothing runs of nested calls, and of what they have started.
fn none_runs(numbers: &[Vec<i32>]) -> bool {
    !numbers.iter().any(|call| call[..2].iter().any(|pid| is_alive(*pid)))
}

fn wait_for_their_end(folder: &Path) {
    let numbers = numbers(folder);
    assert_eq!(numbers.len(), 2);
    wait_for("the nested calls to end", || none_runs(&numbers));
}

#[test]
fn nested_calls_end_with_a_parent_that_crashes() {
    for levels in [0, 2] {
        let folder = tempfile::tempdir().expect("a folder");
        let fexec = blocking::FunctionExecutor::builder().worker_processes(2).build().expect("an executor");
        let call = fexec.call_async(has_sleepers, (folder.path().to_owned(), "abort".to_owned(), levels));
        let error = call.run().expect("a call").result().expect_err("it has crashed");
        let words = format!("{error:?}");
        assert!(words.contains("SIGABRT"), "{words}");
        wait_for_their_end(folder.path());
        assert_eq!(fexec.call_async(countdown, 2).run().expect("a call").result().expect("a value"), 2);
    }
}

#[test]
fn nested_calls_end_with_the_job_above_them() {
    for levels in [0, 2] {
        let folder = tempfile::tempdir().expect("a folder");
        let fexec = blocking::FunctionExecutor::builder().worker_processes(2).build().expect("an executor");
        let job = fexec.map(has_sleepers, [(folder.path().to_owned(), "wait".to_owned(), levels)]);
        let job = job.run().expect("a job");
        wait_for("the nested calls", || numbers(folder.path()).len() == 2);
        job.cancel().expect("cancelled");
        wait_for_their_end(folder.path());
        assert_eq!(fexec.call_async(countdown, 2).run().expect("a call").result().expect("a value"), 2);
    }
}

#[test]
fn nested_calls_end_with_a_parent_that_runs_too_long() {
    let folder = tempfile::tempdir().expect("a folder");
    let fexec = blocking::FunctionExecutor::builder().worker_processes(1).build().expect("an executor");
    let call = fexec.call_async(has_sleepers, (folder.path().to_owned(), "wait".to_owned(), 0));
    let call = call.timeout(Duration::from_secs(3)).run().expect("a call");
    let error = call.result().expect_err("it takes too long");
    let error = error.call_error().expect("the call's");
    assert_eq!(error.kind(), &CallErrorKind::TimedOut);
    // With one sub-worker only one of the two sleepers has ever run.
    let numbers = numbers(folder.path());
    assert_eq!(numbers.len(), 1);
    wait_for("the nested call to end", || none_runs(&numbers));
}

#[test]
fn a_nested_job_can_be_cancelled() {
    let folder = tempfile::tempdir().expect("a folder");
    let fexec = blocking::FunctionExecutor::builder().worker_processes(2).build().expect("an executor");
    let call = fexec.call_async(has_sleepers, (folder.path().to_owned(), "cancel".to_owned(), 0));
    call.run().expect("a call").result().expect("it has gone on");
    wait_for_their_end(folder.path());
}

#[lithops::function]
fn leaves_a_file(file: PathBuf) {
    std::thread::sleep(Duration::from_millis(20));
    fs::write(file, "").expect("written");
}

/// Starts a job and does not wait for it.
#[lithops::function]
fn starts_and_goes(folder: PathBuf) -> Fallible<()> {
    let fexec = blocking::FunctionExecutor::builder().build()?;
    let files: Vec<_> = (0..10).map(|number| folder.join(number.to_string())).collect();
    fexec.map(leaves_a_file, files).run()?;
    Ok(())
}

#[test]
fn a_nested_job_that_nobody_waits_for_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let fexec = blocking::FunctionExecutor::builder().worker_processes(1).build().expect("an executor");
    let call = fexec.call_async(starts_and_goes, folder.path().to_owned()).run().expect("a call");
    call.result().expect("it has ended");
    let files = || fs::read_dir(folder.path()).expect("a folder").count();
    wait_for("the nested calls", || files() == 10);
}

/// Works, and leaves a file that says when.
#[lithops::function]
fn leaves_when(file: PathBuf) {
    let (begun, ended, ..) = work();
    let nanos = |moment: SystemTime| moment.duration_since(SystemTime::UNIX_EPOCH).expect("now").as_nanos();
    fs::write(file.with_extension("new"), format!("{} {}", nanos(begun), nanos(ended))).expect("written");
    fs::rename(file.with_extension("new"), file).expect("renamed");
}

/// Works, starts a job, and does not wait for it. The jobs of earlier calls are there while a later one works.
#[lithops::function]
fn works_and_goes(id: CallId, folder: PathBuf) -> Fallible<()> {
    leaves_when(folder.join(format!("{id}")));
    let fexec = blocking::FunctionExecutor::builder().build()?;
    fexec
        .map(leaves_when, (0..4).map(|number| folder.join(format!("{id}-{number}"))).collect::<Vec<_>>())
        .run()?;
    Ok(())
}

#[test]
fn a_call_does_not_begin_in_the_place_of_one_that_nobody_waits_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let fexec = blocking::FunctionExecutor::builder().worker_processes(1).build().expect("an executor");
    // All five are in the worker from the beginning, so that one is given in advance behind another.
    let job = fexec.map(works_and_goes, vec![folder.path().to_owned(); 5]).chunksize(5);
    let job = job.run().expect("a job");
    job.get_result().expect("they have ended");
    let files = || {
        let files = fs::read_dir(folder.path()).expect("a folder").flatten().map(|file| file.path());
        files.filter(|file| file.extension().is_none()).collect::<Vec<_>>()
    };
    wait_for("the nested calls", || files().len() == 5 + 5 * 4);
    let ran = files().into_iter().map(|file| -> Ran {
        let text = fs::read_to_string(file).expect("two moments");
        let mut moments = text.split(' ').map(|nanos| Duration::from_nanos(nanos.parse().expect("a number")));
        let mut next = || SystemTime::UNIX_EPOCH + moments.next().expect("a moment");
        (next(), next(), 0, 0)
    });
    assert_eq!(most_at_once(&ran.collect::<Vec<_>>()), 1);
}

const FOLDER: &str = "LITHOPS_NESTED_TEST_FOLDER";

/// The client of the test below, in a process of its own; in an ordinary run it has nothing to do.
#[test]
fn the_client_in_a_process_of_its_own() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let fexec = blocking::FunctionExecutor::builder().worker_processes(2).build().expect("an executor");
    let call = fexec.call_async(has_sleepers, (PathBuf::from(folder), "wait".to_owned(), 1));
    call.run().expect("a call").result().expect("never");
}

/// A client that does not outlive its test.
struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended as it should.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn nothing_is_left_when_the_client_or_the_worker_is_killed() {
    for victim in ["client", "worker"] {
        let folder = tempfile::tempdir().expect("a folder");
        let client = Command::new(std::env::current_exe().expect("this program"))
            .args(["the_client_in_a_process_of_its_own", "--exact", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut client = Client(client.expect("a client"));
        wait_for("the nested calls", || numbers(folder.path()).len() == 2);
        let worker = numbers(folder.path())[0][2];
        // The call, the one below it, and the two that sleep.
        let sub_workers = children(u32::try_from(worker).expect("a process"));
        assert!(sub_workers.len() >= 4, "{sub_workers:?}");
        let sleepers = numbers(folder.path());
        if victim == "worker" {
            // The client starts another, for the same calls.
            kill_process(Pid::from_raw(worker).expect("a process"), Signal::KILL).expect("killed");
            wait_for("the nested calls to end", || none_runs(&sleepers));
            wait_for("the nested calls again", || {
                numbers(folder.path()).iter().flatten().all(|pid| is_alive(*pid))
            });
        }
        client.0.kill().expect("killed");
        client.0.wait().expect("ended");
        wait_for_their_end(folder.path());
        let gone = |pid: &u32| !is_alive(i32::try_from(*pid).expect("small"));
        wait_for("the sub-workers and the worker to end", || {
            sub_workers.iter().all(gone) && !is_alive(worker)
        });
    }
}
