//! What a function may take and return.

use std::{collections::BTreeMap, error::Error as StdError};

use lithops::prelude::*;
use serde::{Deserialize, Serialize};

lithops::test_worker!();

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Point {
    x: f64,
    labels: BTreeMap<String, Vec<u32>>,
}

type Number = CallId;

#[lithops::function]
fn everything(
    a: u8,
    number: Number,
    point: Point,
    context: CallContext,
    text: Option<String>,
) -> (u64, Point, u8, bool) {
    assert_eq!(context.call_id(), number);
    (u64::from(number), point, a, text.is_some())
}

#[lithops::function]
async fn slowly(x: u64) -> u64 {
    let other = tokio::spawn(async move { x + 1 });
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    other.await.expect("no panic")
}

#[lithops::function]
fn nothing() {}

#[lithops::function]
fn scaled(factor: Shared<Vec<f64>>, x: f64) -> f64 {
    factor.iter().sum::<f64>() * x
}

#[lithops::function]
fn two_shared(one: Shared<String>, x: u32, other: Shared<u32>) -> String {
    format!("{}{}{x}", *one, *other)
}

#[lithops::function]
async fn stored(key: String, storage: StorageClient) -> Result<u64, lithops::Error> {
    let bytes = storage.get_object("functions", &key).await?;
    storage.put_object("functions", &format!("{key}.out"), bytes.clone()).await?;
    Ok(bytes.lines().count() as u64)
}

#[lithops::function]
fn boxed(x: i32) -> Result<i32, Box<dyn StdError>> {
    let parsed: i32 = if x < 0 { "minus".parse()? } else { x };
    Ok(parsed)
}

#[derive(Debug)]
struct Outer(std::num::ParseIntError);

impl std::fmt::Display for Outer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("outer")
    }
}

impl StdError for Outer {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

type Outcome = Result<i32, Outer>;

#[lithops::function]
async fn chained(text: String) -> Outcome {
    text.parse().map_err(Outer)
}

#[lithops::function]
fn bytes_back(bytes: Bytes) -> Bytes {
    Bytes::from(bytes.iter().rev().copied().collect::<Vec<_>>())
}

#[lithops::function]
fn variable(name: String) -> Option<String> {
    std::env::var(name).ok()
}

#[lithops::function]
fn count(text: String) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    text.split_whitespace().for_each(|word| *counts.entry(word.to_owned()).or_default() += 1);
    counts
}

#[lithops::function]
fn merge(parts: Vec<BTreeMap<String, u64>>) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    parts.into_iter().flatten().for_each(|(word, count)| *all.entry(word).or_default() += count);
    all
}

#[lithops::function]
fn add(numbers: Vec<i32>) -> i32 {
    numbers.iter().sum()
}

#[lithops::function(name = "renamed", timeout = "10s", retries = 2)]
fn third_time(context: CallContext, _x: u32) -> Result<u32, String> {
    if context.attempt() < 3 { Err("again".into()) } else { Ok(context.attempt()) }
}

async fn executor() -> FunctionExecutor {
    FunctionExecutor::builder().worker_processes(2).build().await.expect("an executor")
}

#[tokio::test]
async fn arguments_results_and_reserved_parameters() {
    let fexec = executor().await;
    let point = Point { x: 0.5, labels: BTreeMap::from([("a".into(), vec![1, 2])]) };
    let inputs = (0..5u8).map({
        let point = point.clone();
        move |a| (a, point.clone(), (a % 2 == 0).then(|| "even".to_owned()))
    });
    let results = fexec.map(everything, inputs).await.expect("a job").get_result().await.expect("results");
    assert_eq!(results[4], (4, point.clone(), 4, true));
    assert_eq!(results[3], (3, point, 3, false));
    assert_eq!(fexec.map(slowly, 0..3).await.expect("a job").get_result().await.expect("results"), [1, 2, 3]);
    fexec.map(nothing, [(), ()]).await.expect("a job").get_result().await.expect("results");
    fexec.call_async(nothing, ()).await.expect("a call").result().await.expect("nothing");
    let large = Bytes::from(vec![7; 5 << 20]);
    assert_eq!(
        fexec.call_async(bytes_back, large.clone()).await.expect("a call").result().await.expect("bytes"),
        large
    );
}

/// Prints a byte, if anything, in as short a time as that takes.
#[lithops::function]
#[expect(clippy::print_stdout, reason = "it is what is tried")]
fn hardly_prints(x: u64) -> u64 {
    if x.is_multiple_of(3) {
        print!("{}", x % 10);
    }
    x
}

#[tokio::test]
async fn what_the_shortest_calls_print_is_kept_apart() {
    let futures = executor().await.map(hardly_prints, 0..6_000).await.expect("a job");
    futures.get_result().await.expect("results");
    for call in 0..6_000 {
        let expected = if call % 3 == 0 { (call % 10).to_string() } else { String::new() };
        assert_eq!(futures[call].logs().await.expect("its output"), expected, "call {call}");
    }
}

#[tokio::test]
async fn shared_data_and_storage() {
    let fexec = executor().await;
    let futures = fexec.map(scaled, [1.0, 2.0]).shared(vec![1.0, 2.0]).await.expect("a job");
    assert_eq!(futures.get_result().await.expect("results"), [3.0, 6.0]);
    let future = fexec.call_async(two_shared, 5).shared(("a".to_owned(), 7)).await.expect("a call");
    assert_eq!(future.result().await.expect("a string"), "a75");

    let storage = fexec.storage();
    storage.put_object("functions", "lines", "a\nb\nc\n").await.expect("stored");
    let lines: u64 =
        fexec.call_async(stored, "lines".into()).await.expect("a call").result().await.expect("lines");
    assert_eq!(lines, 3);
    assert_eq!(storage.get_object("functions", "lines.out").await.expect("copied").len(), 6);
    let error = fexec
        .call_async(stored, "missing".into())
        .await
        .expect("a call")
        .outcome()
        .await
        .expect("an outcome");
    assert!(error.expect_err("not there").message().contains("missing"));
}

#[tokio::test]
async fn errors_of_many_types_and_their_chains() {
    let fexec = executor().await;
    let outcomes: Vec<Result<i32, CallError>> =
        fexec.map(boxed, [1, -1]).await.expect("a job").outcomes().await.expect("outcomes");
    assert_eq!(outcomes[0].as_ref().ok(), Some(&1));
    assert_eq!(outcomes[1].as_ref().expect_err("failed").message(), "invalid digit found in string");
    let futures = fexec.map(chained, ["5".to_owned(), "x".to_owned()]).await.expect("a job");
    let error = futures[1].outcome().await.expect("an outcome").expect_err("failed");
    assert_eq!(
        (error.message(), error.chain()),
        ("outer", ["invalid digit found in string".to_owned()].as_slice())
    );
    assert_eq!(futures[0].result().await.expect("a number"), 5);
    assert_eq!(fexec.call_async(third_time, 0).await.expect("a call").result().await.expect("at last"), 3);
    let error = fexec
        .call_async(third_time, 0)
        .retries(1)
        .await
        .expect("a call")
        .outcome()
        .await
        .expect("an outcome");
    assert_eq!(error.expect_err("twice").attempts(), 2);
}

#[tokio::test]
async fn map_reduce_gathers_in_order_and_says_which_call_failed() {
    let fexec = executor().await;
    let texts = ["a b a", "b c", ""].map(str::to_owned);
    let counts = fexec.map_reduce(count, texts, merge).chunksize(2).spawn_reducer(50).await.expect("a job");
    let counts = counts.result().await.expect("counts");
    assert_eq!(counts, BTreeMap::from([("a".into(), 2), ("b".into(), 2), ("c".into(), 1)]));
    let sum = fexec.map_reduce(boxed, 0..100, add).await.expect("a job").result().await.expect("a sum");
    assert_eq!(sum, 4950);
    let error =
        fexec.map_reduce(boxed, [1, -1], add).await.expect("a job").result().await.expect_err("a map failed");
    assert!(
        error.to_string().contains("call 1 of") && error.to_string().contains("the reducer was not called"),
        "{error}"
    );
    let empty = fexec
        .map_reduce(boxed, Vec::new(), add)
        .await
        .expect("a job")
        .result()
        .await
        .expect("a sum of nothing");
    assert_eq!(empty, 0);
}

#[tokio::test]
async fn variables_are_those_of_the_job() {
    let fexec = FunctionExecutor::builder().worker_processes(1).build().await.expect("an executor");
    let name = "LITHOPS_TEST_VARIABLE".to_owned();
    let with = fexec.call_async(variable, name.clone()).extra_env([(&name, "set")]).await.expect("a call");
    assert_eq!(with.result().await.expect("a variable").as_deref(), Some("set"));
    let without = fexec.call_async(variable, name).await.expect("a call");
    assert_eq!(without.result().await.expect("no variable"), None);
    let role = fexec.call_async(variable, "LITHOPS_ROLE".into()).await.expect("a call");
    assert_eq!(role.result().await.expect("no variable"), None, "user code does not see the role");
}

#[test]
fn a_function_stays_a_function() {
    assert_eq!(boxed(3).expect("a number"), 3);
    assert_eq!(["a".to_owned()].map(count).len(), 1);
    assert_eq!(scaled(Shared::new(vec![2.0]), 4.0), 8.0);
}

#[test]
fn the_blocking_form_has_the_same_names() {
    let fexec =
        lithops::blocking::FunctionExecutor::builder().worker_processes(2).build().expect("an executor");
    let futures = fexec.map(boxed, 0..20).chunksize(4).run().expect("a job");
    assert_eq!(futures.get_result().expect("results"), (0..20).collect::<Vec<_>>());
    assert_eq!(futures[7].result().expect("a result"), 7);
    let (done, open) = futures.wait().run().expect("lists");
    assert_eq!((done.len(), open.len()), (20, 0));
    assert_eq!(futures.as_completed().map(|call| call.outcome().expect("a value")).sum::<i32>(), 190);
    assert_eq!(fexec.call_async(boxed, 9).run().expect("a call").result().expect("a value"), 9);
    assert_eq!(fexec.map_reduce(boxed, 0..4, add).run().expect("a job").result().expect("a sum"), 6);
    assert_eq!(fexec.map(boxed, 0..20).chunksize(4).plan().expect("a plan").workers(), 5);
}

#[tokio::test]
async fn the_blocking_form_says_so_inside_a_runtime() {
    let error = lithops::blocking::FunctionExecutor::builder().build().expect_err("refused");
    assert!(error.to_string().contains("use `lithops::FunctionExecutor` and `.await`"), "{error}");
}
