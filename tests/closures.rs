//! Functions without the attribute, and closures, as calls of jobs.

mod common;

use std::{
    collections::BTreeMap,
    error::Error as StdError,
    fmt, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use common::wait_for;
use lithops::{CallErrorKind, ErrorKind, blocking, prelude::*};
use serde::{Deserialize, Serialize};

lithops::test_worker!();

fn plain(x: i64) -> i64 {
    x * 100
}

async fn plain_async(x: i64) -> Result<i64, std::num::ParseIntError> {
    tokio::task::yield_now().await;
    format!("{x}1").parse()
}

fn total(values: Vec<i64>) -> i64 {
    values.iter().sum()
}

#[lithops::function(retries = 1)]
fn named(x: i64) -> i64 {
    x - 1
}

async fn executor() -> FunctionExecutor {
    FunctionExecutor::builder().worker_processes(2).build().await.expect("an executor")
}

#[tokio::test(flavor = "multi_thread")]
async fn closures_and_plain_functions_run_in_every_kind_of_job() {
    let fexec = executor().await;
    let added = fexec.map(|x: i64| x + 7, 0..200).await.expect("a job").get_result().await.expect("values");
    assert_eq!(added, (7..207).collect::<Vec<_>>());
    let hundreds = fexec.map(plain, 0..5).await.expect("a job").get_result().await.expect("values");
    assert_eq!(hundreds, [0, 100, 200, 300, 400]);
    let parsed = fexec.map(plain_async, [1, 2]).await.expect("a job").get_result().await.expect("values");
    assert_eq!(parsed, [11, 21]);
    let one = fexec.call_async(|(a, b): (i64, String)| format!("{b}{a}"), (3, "n".to_owned()));
    assert_eq!(one.await.expect("a job").result().await.expect("a value"), "n3");
    let two = fexec.map(|a: i64, b: String| b.repeat(a.unsigned_abs() as usize), [(2, "x".to_owned())]);
    assert_eq!(two.await.expect("a job").get_result().await.expect("values"), ["xx"]);
    let nothing = fexec.call_async(|| 5_u8, ()).await.expect("a job").result().await;
    assert_eq!(nothing.expect("a value"), 5);
    let later = fexec.map(|x: u32| async move { tokio::spawn(async move { x + 1 }).await }, [1, 2]);
    assert_eq!(later.await.expect("a job").get_result().await.expect("values"), [2, 3]);

    let reduced = fexec.map_reduce(|x: i64| x * x, 0..10, |values: Vec<i64>| values.iter().sum::<i64>());
    assert_eq!(reduced.await.expect("a job").result().await.expect("a value"), 285);
    let mixed = fexec.map_reduce(named, 0..10, total).await.expect("a job").result().await;
    assert_eq!(mixed.expect("a value"), 35);
    let fallible = fexec.map_reduce(plain_async, 0..3, async |values: Vec<i64>| values.len());
    assert_eq!(fallible.await.expect("a job").result().await.expect("a value"), 3);
}

#[test]
fn they_run_through_the_blocking_form() {
    let fexec = blocking::FunctionExecutor::builder().worker_processes(2).build().expect("an executor");
    let added = fexec.map(|x: i64| x + 7, 0..3).run().expect("a job").get_result().expect("values");
    assert_eq!(added, [7, 8, 9]);
    let sum = fexec.map_reduce(plain, 0..3, |all: Vec<i64>| all.len()).run().expect("a job").result();
    assert_eq!(sum.expect("a value"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn reserved_parameters_are_supplied() {
    let fexec = executor().await;
    let ids =
        fexec.map(|id: CallId, context: CallContext, x: u64| (u64::from(id), context.attempt(), x), 5..7);
    assert_eq!(ids.await.expect("a job").get_result().await.expect("values"), [(0, 1, 5), (1, 1, 6)]);
    let shared = fexec.map(|x: u64, table: Shared<BTreeMap<u64, String>>| table[&x].clone(), [1, 2]);
    let table = BTreeMap::from([(1, "one".to_owned()), (2, "two".to_owned())]);
    let words = shared.shared(table).await.expect("a job").get_result().await.expect("values");
    assert_eq!(words, ["one", "two"]);

    let storage = fexec.storage();
    storage.put_object("closures", "text", "a\nb\nc\n").await.expect("stored");
    let counted = fexec.map(
        async |key: String, storage: StorageClient| {
            storage.get_object("closures", &key).await.map(|bytes| bytes.len())
        },
        ["text".to_owned()],
    );
    assert_eq!(counted.await.expect("a job").get_result().await.expect("values"), [6]);
    let objects = DataSource::objects(["closures/text"]);
    let lines = fexec.map(async |object: DataObject| object.bytes().await.map(|bytes| bytes.len()), objects);
    assert_eq!(lines.await.expect("a job").get_result().await.expect("values"), [6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn they_run_in_jobs_of_jobs() {
    let fexec = executor().await;
    let nested = fexec.map(
        async |n: i64| {
            let inner = FunctionExecutor::builder().worker_processes(1).build().await?;
            inner.map_reduce(|x: i64| x + 1, 0..n, total).await?.result().await
        },
        [3, 4],
    );
    assert_eq!(nested.await.expect("a job").get_result().await.expect("values"), [6, 10]);
}

/// Both an error and a value that can be sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Refused {
    Negative(i64),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("negative")
    }
}

impl StdError for Refused {}

struct OnlyWords;

impl fmt::Display for OnlyWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("only words")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_every_kind_fail_the_call_with_their_words() {
    let fexec = executor().await;
    macro_rules! fails {
        ($function:expr, $words:expr) => {
            let futures = fexec.map($function, [1, -1]).await.expect("a job");
            assert_eq!(futures[0].result().await.expect("a value"), 1);
            let error = futures[1].outcome().await.expect("an outcome").expect_err("it failed");
            assert_eq!((error.message(), error.kind()), ($words, &CallErrorKind::Failed));
        };
    }
    fails!(|x: i64| if x < 0 { Err("words".to_owned()) } else { Ok(x) }, "words");
    fails!(|x: i64| if x < 0 { Err("static") } else { Ok(x) }, "static");
    fails!(|x: i64| if x < 0 { Err(Refused::Negative(x)) } else { Ok(x) }, "negative");
    fails!(|x: i64| if x < 0 { Err(OnlyWords) } else { Ok(x) }, "only words");
    fails!(|x: i64| if x < 0 { Err(std::io::Error::other("io")) } else { Ok(x) }, "io");
    fails!(|x: i64| if x < 0 { Err(Box::<dyn StdError>::from("boxed")) } else { Ok(x) }, "boxed");
    fails!(
        |x: i64| if x < 0 { Err(Box::<dyn StdError + Send + Sync>::from("boxed to send")) } else { Ok(x) },
        "boxed to send"
    );
    fails!(async |x: i64| if x < 0 { Err(Refused::Negative(x)) } else { Ok(x) }, "negative");
    // As with the attribute, only a `Result` fails a call.
    let options = fexec.map(|x: i64| (x > 0).then_some(x), [1, -1]).await.expect("a job").get_result().await;
    assert_eq!(options.expect("values"), [Some(1), None]);
    let panics = fexec.map(|x: i64| assert!(x > 0, "it is {x}"), [1, -1]).await.expect("a job");
    let error = panics[1].outcome().await.expect("an outcome").expect_err("it panicked");
    assert!(error.message().contains("it is -1"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_refused_before_anything_runs() {
    struct Opaque;
    struct Wordless;
    let fexec = executor().await;
    let refused = fexec.map(|_: i64| Opaque, [1]).await.expect_err("it cannot be sent");
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    assert!(refused.to_string().contains("`serde::Serialize`"), "{refused}");
    let refused = fexec.map(|_: i64| Err::<Opaque, String>(String::new()), [1]).await.expect_err("as above");
    assert!(refused.to_string().contains("Opaque"), "{refused}");
    let refused = fexec.map(|_: i64| Err::<i64, Wordless>(Wordless), [1]).await.expect_err("no words");
    assert!(refused.to_string().contains("has no words"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_says_where_the_closure_is() {
    let fexec = executor().await;
    let failing = fexec.map(|x: i64| Err::<i64, String>(format!("no {x}")), [1]).await.expect("a job");
    let line = line!() - 1;
    let error = failing.get_result().await.expect_err("it fails").to_string();
    assert!(error.contains(&format!("{{{{closure}}}} at tests/closures.rs:{line}")), "{error}");
    let failing = fexec.map(plain_async, [i64::MAX]).await.expect("a job");
    let error = failing.get_result().await.expect_err("too large").to_string();
    assert!(error.contains("`closures::plain_async`"), "{error}");
}

const FOLDER: &str = "LITHOPS_TEST_CLOSURES_FOLDER";

fn waits(x: u64, folder: PathBuf) -> u64 {
    wait_for("the word to go on", || folder.join("go").exists());
    x + 1
}

async fn durable_executor(root: &str) -> FunctionExecutor {
    FunctionExecutor::builder()
        .set("storage_root", root)
        .worker_processes(1)
        .build()
        .await
        .expect("an executor")
}

/// The client that starts a durable job; in an ordinary run the test does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_client_in_a_process_of_its_own() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let fexec = durable_executor(&folder).await;
    let inputs: Vec<_> = (0..4).map(|x| (x, PathBuf::from(&folder))).collect();
    let futures = fexec.map(waits, inputs).chunksize(1).detach().await.expect("a job");
    fs::write(format!("{folder}/job.part"), futures.job_id().to_string()).expect("a note");
    fs::rename(format!("{folder}/job.part"), format!("{folder}/job")).expect("a note");
    let _ended = futures.wait().await;
}

struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `program` as the client, and kills it when its job is stored.
fn start_and_kill(program: &Path, folder: &Path) -> lithops::JobId {
    let client = Command::new(program)
        .args(["the_client_in_a_process_of_its_own", "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .spawn()
        .expect("a client");
    let client = Client(client);
    wait_for("the job", || folder.join("job").exists());
    drop(client);
    fs::read_to_string(folder.join("job")).expect("a note").parse().expect("an id")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_job_is_taken_over_by_the_same_program() {
    let root = tempfile::tempdir().expect("a folder");
    let job = start_and_kill(&std::env::current_exe().expect("this program"), root.path());
    fs::write(root.path().join("go"), "").expect("a note");
    let fexec = durable_executor(root.path().to_str().expect("UTF-8")).await;
    let futures = fexec.attach::<u64>(job).await.expect("attaches");
    assert_eq!(futures.get_result().await.expect("values"), [1, 2, 3, 4]);
}

/// A copy of this program with another build id, as another build has.
fn another_build(folder: &Path) -> PathBuf {
    let mut program = fs::read(std::env::current_exe().expect("this program")).expect("reads");
    let note: Vec<u8> = [4_u32, 20, 3].into_iter().flat_map(u32::to_ne_bytes).chain(*b"GNU\0").collect();
    let at =
        program.windows(note.len()).position(|bytes| bytes == note).expect("the linker gives a build id");
    program[at + note.len()] ^= 0xff;
    let path = folder.join("another_build");
    fs::write(&path, program).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("can be run");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_job_of_another_build_is_not_taken_over() {
    let root = tempfile::tempdir().expect("a folder");
    let job = start_and_kill(&another_build(root.path()), root.path());
    fs::write(root.path().join("go"), "").expect("a note");
    let fexec = durable_executor(root.path().to_str().expect("UTF-8")).await;
    let futures = fexec.attach::<u64>(job).await.expect("attaches to read");
    let refused = futures.get_result().await.expect_err("it is not driven");
    let said = format!("{refused} {:?}", refused.hint());
    assert!(said.contains("another build") && said.contains("closures::waits"), "{said}");
}
