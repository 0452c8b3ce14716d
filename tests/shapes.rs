//! The shapes a function may have: each compiles, runs in another process, and still is an ordinary function.

use std::{collections::BTreeMap, error::Error, fmt, time::Duration};

use lithops::prelude::*;
use serde::{Deserialize, Serialize};

type Number = CallId;
type Fallible<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Point {
    x: f64,
    y: f64,
}

#[derive(Debug)]
struct Odd(u32);

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is odd", self.0)
    }
}

impl Error for Odd {}

/// Documented and public, as before.
#[lithops::function]
pub fn plain(x: i64) -> i64 {
    x + 7
}

#[lithops::function]
fn nothing() {}

#[lithops::function]
fn numbered(x: i64, id: Number) -> String {
    format!("{id}: {x}")
}

#[lithops::function]
fn several(
    mut a: u8,
    (left, right): (u16, u16),
    names: Vec<String>,
    by_name: BTreeMap<String, Option<Point>>,
) -> usize {
    a += 1;
    usize::from(a) + usize::from(left + right) + names.len() + by_name.len()
}

#[lithops::function]
fn raw(bytes: Bytes) -> Bytes {
    bytes
}

#[lithops::function]
fn reserved(context: CallContext, x: i64, table: Shared<Vec<i64>>, id: CallId) -> i64 {
    table[id.index()] + x + i64::from(context.attempt())
}

#[lithops::function]
async fn stored(storage: StorageClient, key: String) -> lithops::Result<Bytes> {
    storage.get_object("lithops-shapes", &key).await
}

#[lithops::function]
async fn waits(milliseconds: u64) -> u64 {
    let text = String::from("kept across a wait");
    std::future::ready(()).await;
    milliseconds + text.len() as u64
}

#[lithops::function]
fn fails_with_text(x: u32) -> Result<u32, String> {
    x.checked_sub(1).ok_or_else(|| "it is zero".to_string())
}

#[lithops::function]
fn fails_with_static_text(x: u32) -> Result<u32, &'static str> {
    x.checked_sub(1).ok_or("it is zero")
}

#[lithops::function]
fn fails_with_own_error(x: u32) -> Result<u32, Odd> {
    if x.is_multiple_of(2) { Ok(x / 2) } else { Err(Odd(x)) }
}

#[lithops::function]
fn fails_with_boxed(text: String) -> Result<f64, Box<dyn Error>> {
    Ok(text.parse()?)
}

#[lithops::function]
fn fails_with_boxed_send(text: String) -> Fallible<f64> {
    Ok(text.parse()?)
}

#[lithops::function]
async fn fails_async(text: String) -> Fallible<Point> {
    Ok(Point { x: text.parse()?, y: 0.0 })
}

#[lithops::function(name = "pay", timeout = "30s", at_most_once)]
fn with_options(invoice: u64) -> u64 {
    invoice
}

#[lithops::function(retries = 3, timeout = "500ms")]
fn with_retries(x: u64) -> u64 {
    x
}

#[lithops::function]
fn sum(values: Vec<i64>) -> i64 {
    values.into_iter().sum()
}

#[lithops::function]
fn largest(values: Vec<f64>) -> f64 {
    values.into_iter().fold(f64::MIN, f64::max)
}

mod inner {
    /// The same name in another module.
    #[lithops::function]
    pub(crate) fn plain(x: i64) -> i64 {
        x * 2
    }
}

lithops::test_worker!();

#[test]
fn they_are_still_ordinary_functions() {
    assert_eq!((0..3).map(plain).collect::<Vec<_>>(), [7, 8, 9]);
    assert_eq!(numbered(1, CallId::from(3)), "3: 1");
    assert_eq!(inner::plain(4), 8);
    assert!(fails_with_own_error(3).is_err());
}

#[tokio::test]
async fn values_of_every_shape_come_back() -> lithops::Result<()> {
    let fexec = FunctionExecutor::builder().worker_processes(2).set("max_workers", 1).build().await?;
    let futures = fexec.map(plain, 0..200).chunksize(8).worker_processes(Auto).retries(3).await?;
    let values: Vec<i64> = futures.get_result().await?;
    assert_eq!(values, (7..207).collect::<Vec<_>>());
    let outcomes: Vec<Result<i64, CallError>> = futures.outcomes().await?;
    assert!(outcomes.into_iter().all(|outcome| outcome.is_ok()));
    let units: FuturesList<()> = fexec.map(nothing, vec![(), ()]).await?;
    assert_eq!(units.get_result().await?, [(), ()]);
    assert_eq!(fexec.map(numbered, vec![5, 6]).await?.get_result().await?, ["0: 5", "1: 6"]);
    let by_name =
        BTreeMap::from([("a".to_string(), Some(Point { x: 1.0, y: 2.0 })), ("b".to_string(), None)]);
    let several = fexec.call_async(several, (1, (2, 3), vec!["n".into()], by_name)).await?;
    assert_eq!(several.result().await?, 2 + 5 + 1 + 2);
    let bytes = fexec.call_async(raw, Bytes::from(vec![1, 0, 255])).await?.result().await?;
    assert_eq!(&bytes[..], [1, 0, 255]);
    let looked_up = fexec.map(reserved, 0..3).shared(vec![10, 20, 30]).await?;
    assert_eq!(looked_up.get_result().await?, [11, 22, 33]);
    assert_eq!(fexec.call_async(waits, 1).timeout(Duration::from_secs(60)).await?.result().await?, 19);
    assert_eq!(fexec.call_async(with_options, 1).await?.result().await?, 1);
    assert_eq!(fexec.call_async(with_retries, 2).await?.result().await?, 2);
    let total = fexec.map_reduce(inner::plain, 0..10, sum).chunksize(2).spawn_reducer(20).await?;
    assert_eq!(total.result().await?, 90);
    let texts = ["1.5".to_string(), "2.5".to_string()];
    let top: f64 = fexec.map_reduce(fails_with_boxed_send, texts, largest).await?.result().await?;
    assert_eq!(top, 2.5);
    fexec.close().await
}

#[tokio::test]
async fn the_storage_is_a_parameter() -> lithops::Result<()> {
    let fexec = FunctionExecutor::builder().worker_processes(1).build().await?;
    let key = format!("shapes/{}", std::process::id());
    fexec.storage().put_object("lithops-shapes", &key, Bytes::from(vec![7; 3])).await?;
    let read = fexec.call_async(stored, key.clone()).await?.result().await;
    fexec.storage().delete_object("lithops-shapes", &key).await?;
    assert_eq!(&read?[..], [7, 7, 7]);
    Ok(())
}

#[test]
fn errors_of_every_type_keep_their_words() -> lithops::Result<()> {
    let fexec = lithops::blocking::FunctionExecutor::builder().worker_processes(2).build()?;
    // A function that returns `Result<T, E>` gives `T`.
    let values: Vec<u32> = fexec.map(fails_with_text, [1, 2]).run()?.get_result()?;
    assert_eq!(values, [0, 1]);
    let words = |outcomes: Vec<Result<u32, CallError>>| -> Vec<String> {
        outcomes.into_iter().filter_map(|outcome| Some(outcome.err()?.message().to_owned())).collect()
    };
    assert_eq!(words(fexec.map(fails_with_text, [0, 1]).run()?.outcomes()?), ["it is zero"]);
    assert_eq!(words(fexec.map(fails_with_static_text, [0, 1]).run()?.outcomes()?), ["it is zero"]);
    assert_eq!(words(fexec.map(fails_with_own_error, [1, 2]).run()?.outcomes()?), ["1 is odd"]);
    let texts = || ["1.5".to_string(), "one".to_string()];
    let words = |outcome: Result<f64, CallError>| outcome.err().map(|error| error.message().to_owned());
    for outcomes in [
        fexec.map(fails_with_boxed, texts()).run()?.outcomes()?,
        fexec.map(fails_with_boxed_send, texts()).run()?.outcomes()?,
    ] {
        let words: Vec<_> = outcomes.into_iter().map(words).collect();
        assert_eq!(words, [None, Some("invalid float literal".to_owned())]);
    }
    let failed = fexec.map(fails_async, texts()).extra_env([("K", "V")]).run()?.outcomes()?;
    assert_eq!(failed[0].as_ref().ok(), Some(&Point { x: 1.5, y: 0.0 }));
    assert_eq!(failed[1].as_ref().map_err(|error| error.kind().clone()).err(), Some(CallErrorKind::Failed));
    Ok(())
}
