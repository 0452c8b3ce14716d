//! Programs that use the library in unusual ways: huge lazy inputs, iterators that wait or are wrong about their length,
//! forks, threads that may block, programs that are no workers.

use std::{
    os::unix::process::CommandExt,
    process::Command,
    sync::mpsc::{Sender, channel},
};

use lithops::{Async, Builder, CallErrorKind, ErrorKind, Status, prelude::*};
use serde::{Deserialize, Serialize, Serializer};

lithops::test_worker!();

#[lithops::function]
fn next(x: u64) -> u64 {
    x.wrapping_add(1)
}

fn builder() -> Builder<Async> {
    FunctionExecutor::builder().config_yaml("lithops: {storage: memory, history: false}").worker_processes(1)
}

async fn executor() -> FunctionExecutor {
    builder().build().await.expect("an executor")
}

/// The most memory that this process has had, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_takes_no_memory_for_calls_that_were_never_made() {
    let fexec = executor().await;
    for calls in [200_000_000, u64::MAX] {
        let futures = fexec.map(next, 0..calls).await.expect("a job");
        assert_eq!(futures[0].result().await.expect("a value"), 1);
        let far = &futures[usize::try_from(calls - 1).expect("64 bits")];
        assert_eq!(far.status(), Status::Pending);
        let before = peak();
        futures.cancel().await.expect("cancelled");
        assert_eq!(far.status(), Status::Failed);
        let error = far.outcome().await.expect("the job goes on").expect_err("it was cancelled");
        assert_eq!(*error.kind(), CallErrorKind::Cancelled);
        assert_eq!(error.call_id(), Some(CallId::from(calls - 1)));
        assert_eq!(futures.iter().last().expect("many").call_id(), CallId::from(calls - 1));
        let progress = futures.progress();
        assert!(progress.is_finished() && progress.done == calls && progress.known == calls);
        let kind = futures.outcomes().await.map(|outcomes| outcomes.len()).expect_err("no list").kind();
        assert_eq!(kind, ErrorKind::PayloadTooLarge);
        assert_eq!(futures.get_result().await.expect_err("cancelled").kind(), ErrorKind::CallFailed);
        let mut ended = futures.as_completed();
        assert!(ended.next().await.is_some_and(|call| call.call_id() == CallId::from(0)));
        assert!(peak() - before < 200, "{} MiB", peak() - before);
        let wait = futures.wait().await.map(|(done, open)| (done.len(), open.len()));
        assert_eq!(wait.expect_err("no list").kind(), ErrorKind::PayloadTooLarge);
    }
}

/// Says that it is empty, or longer than it is.
struct Liar(u64, usize);

impl Iterator for Liar {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.0 = self.0.checked_sub(1)?;
        Some(self.0)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.1, Some(self.1))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_is_run_whatever_the_iterator_says_of_its_length() {
    let fexec = executor().await;
    for said in [0, 1, 10, 1000] {
        let values = fexec.map(next, Liar(100, said)).await.expect("a job").get_result().await;
        assert_eq!(values.expect("values"), (1..=100).rev().collect::<Vec<u64>>(), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_begins_however_many_others_wait_for_their_inputs() {
    let fexec = executor().await;
    let mut waiting: Vec<(Sender<u64>, _)> = Vec::new();
    for _ in 0..600 {
        let (sender, receiver) = channel();
        waiting.push((sender, fexec.map(next, receiver).await.expect("a job")));
    }
    let values = fexec.map(next, 0..3).await.expect("a job").get_result().await.expect("values");
    assert_eq!(values, [1, 2, 3]);
    for (sender, futures) in waiting {
        sender.send(7).expect("it is waited for");
        drop(sender);
        assert_eq!(futures.get_result().await.expect("values"), [8]);
    }
}

#[derive(Deserialize)]
struct Moody(u64);

impl Serialize for Moody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(self.0 != 3, "not today");
        serializer.serialize_newtype_struct("Moody", &self.0)
    }
}

#[lithops::function]
fn cheered(moody: Moody) -> u64 {
    moody.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_told_of_whoever_has_panicked() {
    let fexec = executor().await;
    let error = fexec.map(cheered, (0..9).map(Moody)).await.expect("a job").get_result().await;
    let error = error.expect_err("call 3 has no argument").to_string();
    assert!(
        error.contains("`Serialize`") && error.contains("call 3") && error.contains("not today"),
        "{error}"
    );
    let inputs = (0..9u64).inspect(|number| assert!(*number != 3, "no third"));
    let error = fexec.map(next, inputs).await.expect("a job").get_result().await;
    let error = error.expect_err("the iterator has panicked").to_string();
    assert!(error.contains("iterator panicked") && error.contains("no third"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_blocking_form_works_where_a_thread_may_block() {
    let run = || {
        let fexec = lithops::blocking::FunctionExecutor::builder()
            .config_yaml("lithops: {storage: memory, history: false}")
            .worker_processes(1)
            .build()?;
        fexec.call_async(next, 1).run()?.result()
    };
    assert_eq!(tokio::task::spawn_blocking(run).await.expect("ends").expect("a value"), 2);
    assert_eq!(tokio::task::block_in_place(run).expect("a value"), 2);
    tokio::task::yield_now().await;
    let error = run().expect_err("this thread must not block");
    assert!(error.to_string().contains("inside an async runtime"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_no_worker_is_not_started_without_end() {
    for program in ["/bin/true", "/bin/false"] {
        let yaml = format!("lithops: {{storage: memory, history: false}}\nlocalhost: {{runtime: {program}}}");
        let fexec = FunctionExecutor::builder().config_yaml(yaml).worker_processes(1).build().await;
        let futures = fexec.expect("an executor").map(next, 0..1000).await.expect("a job");
        let error = futures.get_result().await.expect_err("nothing can be run").to_string();
        assert!(error.contains("5 workers in a row") && error.contains("exited with code"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(unsafe_code, reason = "a fork is what this is about")]
async fn a_fork_is_told_that_it_has_no_threads_and_takes_nothing_from_the_other_process() {
    let fexec = executor().await;
    let running = fexec.map(next, 0..3).await.expect("a job");
    running.wait().await.expect("it ends");
    let (fork, of_fork) = (fexec.clone(), running.clone());
    let mut child = Command::new("/bin/true");
    let in_fork = move || {
        let refused = |error: lithops::Error| error.to_string().contains("forked");
        let told = [
            poll(fork.call_async(next, 1).into_future()).map(drop).is_err_and(refused),
            poll(fork.map(next, 0..9).into_future()).map(drop).is_err_and(refused),
            poll(of_fork.get_result()).map(drop).is_err_and(refused),
            poll(of_fork[0].result()).map(drop).is_err_and(refused),
            poll(of_fork.wait().into_future()).map(drop).is_err_and(refused),
            poll(builder().build()).map(drop).is_err_and(refused),
            poll(fork.close()).map(drop).is_err_and(refused),
            lithops::blocking::FunctionExecutor::builder().build().map(drop).is_err_and(refused),
        ];
        drop((fork.clone(), of_fork.clone()));
        // Only a number comes back from there.
        let untold = told.into_iter().position(|told| !told).and_then(|place| i32::try_from(place).ok());
        untold.map_or(Ok(()), |place| Err(std::io::Error::from_raw_os_error(1000 + place)))
    };
    // SAFETY: the closure allocates, which the allocator allows in a fork, and takes no lock that another thread holds
    // while nothing runs.
    unsafe { child.pre_exec(in_fork) };
    assert!(child.status().expect("the fork was told each time").success());
    assert_eq!(fexec.call_async(next, 1).await.expect("a call").result().await.expect("a value"), 2);
}

/// The output of a future that has nothing to wait for.
fn poll<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => std::process::abort(),
    }
}

/// Runs the test of this name once more, as the user of a process that has nothing else, where this one is root: limits
/// on processes do not hold for root.
fn again(name: &str) -> bool {
    if std::env::var_os("LITHOPS_TEST_AGAIN").is_some() {
        return true;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), everybody).expect("a mode");
    let program = folder.path().join("clients");
    std::fs::copy(std::env::current_exe().expect("a path"), &program).expect("a copy");
    let mut command = Command::new(program);
    command.args([name, "--exact", "--nocapture"]).env("LITHOPS_TEST_AGAIN", name).current_dir("/");
    if rustix::process::getuid().is_root() {
        command.uid(61_000 + std::process::id() % 1000).gid(61_000);
    }
    let output = command.output().expect("it is started");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{}\n{said}\n{errors}", output.status);
    assert!(!errors.contains("panicked"), "{errors}");
    false
}

fn limit(what: rustix::process::Resource, most: u64) {
    let limits = rustix::process::Rlimit { current: Some(most), maximum: Some(most) };
    rustix::process::setrlimit(what, limits).expect("a lower limit");
}

#[test]
fn without_threads_there_is_an_error() {
    if again("without_threads_there_is_an_error") {
        limit(rustix::process::Resource::Nproc, 1);
        let error = lithops::blocking::FunctionExecutor::builder().build().map(drop).expect_err("no thread");
        assert!(error.to_string().contains("no thread could be started"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("ulimit -u")), "{error}");
        let built = lithops::__private::block_on(async { builder().build().await.map(drop) });
        assert!(built.expect_err("no thread").to_string().contains("no thread could be started"));
    }
}

#[lithops::function]
fn zeros(bytes: usize) -> lithops::Bytes {
    vec![0; bytes].into()
}

#[test]
fn without_memory_for_a_long_value_the_job_ends() {
    if again("without_memory_for_a_long_value_the_job_ends") {
        let fexec = lithops::blocking::FunctionExecutor::builder()
            .config_yaml("lithops: {storage: memory, history: false}")
            .worker_processes(1)
            .build()
            .expect("an executor");
        fexec.call_async(zeros, 1 << 20).run().expect("a call").result().expect("a value");
        let status = std::fs::read_to_string("/proc/self/status").expect("a status");
        let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("a size");
        let size = size.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number");
        limit(rustix::process::Resource::As, (size << 10) + (64 << 20));
        let error =
            fexec.call_async(zeros, 200 << 20).run().expect("a call").result().expect_err("no memory");
        assert!(error.to_string().contains("no memory"), "{error}");
    }
}
