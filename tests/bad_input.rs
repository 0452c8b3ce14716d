//! Bad input gets a clear error, and no job.

use std::fs;

use lithops::{Error, ErrorKind, prelude::*};
use serde::{Deserialize, Serialize};

lithops::test_worker!();

#[lithops::function]
fn double(x: i64) -> i64 {
    2 * x
}

async fn refused(yaml: &str) -> Error {
    FunctionExecutor::builder().config_yaml(yaml).build().await.expect_err("refused")
}

fn says(error: &Error, kind: ErrorKind, parts: &[&str]) {
    assert_eq!(error.kind(), kind, "{error:?}");
    for part in parts {
        assert!(error.to_string().contains(part), "`{part}` is missing in: {error}");
    }
}

#[tokio::test]
async fn unknown_backends_and_storages() {
    let error = FunctionExecutor::builder().backend("lokalhost").build().await.expect_err("refused");
    says(&error, ErrorKind::NotFound, &["unknown backend `lokalhost`", "did you mean `localhost`?"]);
    let error = FunctionExecutor::builder().backend("azure_vms").build().await.expect_err("refused");
    says(&error, ErrorKind::NotFound, &["this version of lithops has no backend `azure_vms`", "`localhost`"]);
    let error = FunctionExecutor::builder().storage("memroy").build().await.expect_err("refused");
    says(&error, ErrorKind::NotFound, &["`memroy`", "`memory`"]);
}

#[tokio::test]
async fn keys_that_are_misspelt_or_wrong() {
    let error = refused("lithops:\n  backend: localhost\nlocalhost:\n  worker_proceses: 4\n").await;
    says(&error, ErrorKind::ConfigInvalid, &["`worker_proceses`", "`worker_processes`", "line 4"]);
    let error = refused("localhost:\n  worker_processes: 0\n").await;
    says(&error, ErrorKind::ConfigInvalid, &["worker_processes", "0", "line 2"]);
    let error = refused("localhost:\n  worker_processes: many\n").await;
    says(&error, ErrorKind::ConfigInvalid, &["worker_processes", "many", "line 2"]);
    let error = refused("lithops: [").await;
    says(&error, ErrorKind::ConfigInvalid, &["line 1"]);
    let error = FunctionExecutor::builder().set("max_wrokers", 3).build().await.expect_err("refused");
    says(&error, ErrorKind::ConfigInvalid, &["`max_wrokers`", "`max_workers`", ".set(..)"]);
    // What other backends sell may stand there: the same program runs on a laptop.
    FunctionExecutor::builder().runtime_memory(512).build().await.expect("it has no effect here");
}

#[tokio::test]
async fn a_named_file_that_does_not_exist_or_names_the_line() {
    let error =
        FunctionExecutor::builder().config_file("no/such/file.yaml").build().await.expect_err("refused");
    says(&error, ErrorKind::ConfigInvalid, &["no/such/file.yaml"]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("lithops.yaml");
    fs::write(&file, "localhost:\n  worker_processes: 2\n  max_worker: 2\n").expect("written");
    let error = FunctionExecutor::builder().config_file(&file).build().await.expect_err("refused");
    says(&error, ErrorKind::ConfigInvalid, &["lithops.yaml:3", "`max_worker`", "`max_workers`"]);
}

#[tokio::test]
async fn numbers_that_cannot_be() {
    let error = FunctionExecutor::builder().worker_processes(0).build().await.expect_err("refused");
    says(&error, ErrorKind::ConfigInvalid, &["worker_processes", "0"]);
    let fexec = FunctionExecutor::builder().worker_processes(2).build().await.expect("an executor");
    let error = fexec.map(double, 0..9).chunksize(0).await.expect_err("refused");
    says(&error, ErrorKind::InvalidInput, &["`chunksize` is 0", "leave it out"]);
    let error = fexec.map(double, 0..9).worker_processes(0).await.expect_err("refused");
    says(&error, ErrorKind::InvalidInput, &["`worker_processes` is 0"]);
    let error = fexec.map(double, 0..9).timeout(std::time::Duration::ZERO).await.expect_err("refused");
    says(&error, ErrorKind::InvalidInput, &["timeout is 0"]);
    let error = fexec.map(double, 0..9).extra_env([("A=B", "c")]).await.expect_err("refused");
    says(&error, ErrorKind::InvalidInput, &["`A=B`"]);
    assert_eq!(
        fexec.map(double, Vec::new()).await.expect("a job").get_result().await.expect("nothing"),
        Vec::<i64>::new()
    );
}

/// Its two halves of serde disagree: it is written as text and read as a number.
#[derive(Debug, Deserialize)]
#[serde(from = "u64")]
struct Lopsided(u64);

impl From<u64> for Lopsided {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl Serialize for Lopsided {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_string())
    }
}

#[lithops::function]
fn take_lopsided(one: Lopsided) -> u64 {
    one.0
}

#[tokio::test]
async fn an_argument_that_does_not_decode() {
    let fexec = FunctionExecutor::builder().build().await.expect("an executor");
    let error = fexec.call_async(take_lopsided, Lopsided(3)).await.expect_err("refused");
    says(&error, ErrorKind::InvalidInput, &["take_lopsided", "does not decode", "Lopsided"]);
    let futures = fexec.map(take_lopsided, (0..9).map(Lopsided)).await.expect("inputs are read later");
    let error = futures.get_result().await.expect_err("refused");
    says(&error, ErrorKind::InvalidInput, &["argument of call 0", "does not decode"]);
}

#[tokio::test]
async fn inputs_that_panic() {
    let fexec = FunctionExecutor::builder().build().await.expect("an executor");
    let inputs = (0..9).map(|x| if x == 5 { panic!("no more") } else { x });
    let error = fexec
        .map(double, inputs)
        .await
        .expect("inputs are read later")
        .get_result()
        .await
        .expect_err("refused");
    says(&error, ErrorKind::InvalidInput, &["iterator panicked", "no more"]);
}

#[lithops::function]
async fn read(key: String, storage: StorageClient) -> Result<u64, Error> {
    Ok(storage.get_object("b", &key).await?.len() as u64)
}

#[tokio::test]
async fn a_storage_that_workers_cannot_reach() {
    let fexec = FunctionExecutor::builder().storage("memory").build().await.expect("an executor");
    let error = fexec.map(read, ["k".to_owned()]).await.expect_err("refused");
    says(&error, ErrorKind::Unsupported, &["`memory` lives inside the client's process"]);
    assert_eq!(fexec.call_async(double, 4).await.expect("a call").result().await.expect("a value"), 8);
}

#[tokio::test]
async fn a_runtime_that_does_not_exist_or_is_no_worker() {
    let error =
        FunctionExecutor::builder().set("runtime", "/no/such/worker").build().await.expect_err("refused");
    says(&error, ErrorKind::ConfigInvalid, &["`runtime` in section `localhost`", "/no/such/worker"]);
    let fexec = FunctionExecutor::builder().set("runtime", "/bin/true").build().await.expect("it is a file");
    let error = fexec.call_async(double, 4).await.expect("a call").result().await.expect_err("no worker");
    assert!(error.to_string().contains("exited with code 0"), "{error}");
}

/// A worker of another version, as far as its first words go.
#[tokio::test]
async fn a_worker_of_another_version() {
    use std::os::unix::fs::PermissionsExt;

    use lithops_core::protocol::{Hello, Role};

    let folder = tempfile::tempdir().expect("a folder");
    let mut hello = Vec::new();
    let stranger = Hello { protocol: (98, 99), version: "9.9.9".into(), ..Hello::of(Role::Worker) };
    stranger.write(&mut hello).expect("encoded");
    fs::write(folder.path().join("hello"), hello).expect("written");
    let script = folder.path().join("worker");
    fs::write(&script, format!("#!/bin/sh\ncat {}/hello >&0\n", folder.path().display())).expect("written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("executable");
    let fexec = FunctionExecutor::builder()
        .set("runtime", script.display().to_string())
        .build()
        .await
        .expect("a file");
    let error = fexec.call_async(double, 4).await.expect("a call").result().await.expect_err("refused");
    for part in ["lithops 9.9.9 (protocol 98..=99)", "this side is lithops", "the same version"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}
