//! Values of shapes that are easily lost come back: as argument and result, shared, between jobs, durable, in a single
//! call, and an error where they are too deep.

use std::net::IpAddr;

use lithops::prelude::*;
use serde::{Deserialize, Serialize};

lithops::test_worker!();

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Patch {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    low: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    high: Option<i32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    names: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Shape {
    Text(String),
    Point { x: i32, y: i32 },
    List(Vec<i32>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Payload {
    Text(String),
    Raw(Bytes),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value")]
enum Event {
    Started,
    Moved { by: i32 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Place {
    ip: IpAddr,
}

/// One of everything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct All {
    patch: Patch,
    shapes: Vec<Shape>,
    payloads: [Payload; 2],
    events: (Event, Event),
    nested: [Option<Option<u8>>; 3],
    unit: Option<()>,
    wide: Option<u128>,
    #[serde(flatten)]
    place: Place,
}

fn all() -> All {
    All {
        patch: Patch { low: None, high: Some(5), names: Vec::new() },
        shapes: vec![Shape::Point { x: 1, y: 2 }, Shape::List(vec![3]), Shape::Text("text".into())],
        payloads: [Payload::Raw(b"text".into()), Payload::Text("text".into())],
        events: (Event::Started, Event::Moved { by: -1 }),
        nested: [None, Some(None), Some(Some(1))],
        unit: Some(()),
        wide: Some(u128::MAX),
        place: Place { ip: "1.2.3.4".parse().expect("an address") },
    }
}

/// The value as the call sees it, and the value itself.
#[lithops::function]
fn seen(value: All, patch: Patch) -> (String, Option<All>, Patch) {
    (format!("{value:?} {patch:?}"), Some(value), patch)
}

#[lithops::function]
fn shared(_: u32, given: Shared<All>) -> Result<All, String> {
    Ok((*given).clone())
}

#[lithops::function]
fn lookup(key: u32) -> Option<Option<u32>> {
    (key > 0).then(|| (key > 1).then_some(key))
}

#[lithops::function]
fn pass(value: Option<Option<u32>>) -> Option<Option<u32>> {
    value
}

#[derive(Serialize, Deserialize)]
struct Chain {
    next: Option<Box<Chain>>,
}

/// Without recursion, which would be the test's own overflow.
impl Drop for Chain {
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(mut link) = next {
            next = link.next.take();
        }
    }
}

fn chain(links: usize) -> Chain {
    (1..links).fold(Chain { next: None }, |chain, _| Chain { next: Some(Box::new(chain)) })
}

fn count(mut chain: Chain) -> u32 {
    let mut links = 1;
    let mut next = chain.next.take();
    while let Some(mut link) = next {
        links += 1;
        next = link.next.take();
    }
    links
}

#[lithops::function]
fn links(value: Chain) -> u32 {
    count(value)
}

#[lithops::function]
fn make(links: usize) -> Chain {
    chain(links)
}

async fn executor() -> FunctionExecutor {
    FunctionExecutor::builder().worker_processes(2).build().await.expect("an executor")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_the_same_for_the_call_and_after_it() {
    let fexec = executor().await;
    let (value, patch) = (all(), Patch { low: None, high: Some(7), names: vec!["a".into()] });
    let wanted = (format!("{value:?} {patch:?}"), Some(value.clone()), patch.clone());
    let inputs = vec![(value.clone(), patch.clone()); 3];
    let results = fexec.map(seen, inputs).await.expect("a job").get_result().await.expect("results");
    assert_eq!(results, vec![wanted.clone(); 3]);
    let result = fexec.call_async(seen, (value.clone(), patch)).await.expect("a job").result().await;
    assert_eq!(result.expect("a result"), wanted);
    let given = fexec.map(shared, 0..2).shared(value.clone()).await.expect("a job");
    assert_eq!(given.get_result().await.expect("results"), vec![value; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn some_of_none_goes_from_job_to_job() {
    let fexec = executor().await;
    let first = fexec.map(lookup, 0..3).await.expect("a job");
    let second = fexec.map(pass, &first).await.expect("a job");
    let wanted = vec![None, Some(None), Some(Some(2))];
    assert_eq!(first.get_result().await.expect("results"), wanted);
    assert_eq!(second.get_result().await.expect("results"), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_job_keeps_it_too() {
    let root = tempfile::tempdir().expect("a folder");
    let storage = root.path().to_str().expect("UTF-8");
    let build = || FunctionExecutor::builder().set("storage_root", storage).worker_processes(1).build();
    let fexec = build().await.expect("an executor");
    let inputs = vec![(all(), Patch::default()); 2];
    let job = fexec.map(seen, inputs).durable().await.expect("a job");
    job.wait().await.expect("it ends");
    let other = build().await.expect("an executor");
    let attached = other.attach::<(String, Option<All>, Patch)>(job.job_id()).await.expect("the job");
    for (_, value, patch) in attached.get_result().await.expect("results") {
        assert_eq!((value, patch), (Some(all()), Patch::default()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deep_value_comes_back_and_a_deeper_one_is_an_error() {
    let fexec = executor().await;
    assert_eq!(
        fexec.map(links, [chain(1000)]).await.expect("a job").get_result().await.expect("results"),
        [1000]
    );
    let made = fexec.call_async(make, 1000).await.expect("a job").result().await.expect("a result");
    assert_eq!(count(made), 1000);
    for links_of in [5_000, 50_000] {
        let sent = async { fexec.map(links, [chain(links_of)]).await?.get_result().await };
        let error = sent.await.expect_err("too deep").to_string();
        assert!(error.contains("nested more than 1024 levels deep"), "{error}");
        let error = fexec.call_async(make, links_of).await.expect("a job").result().await;
        let error = error.err().expect("too deep").to_string();
        assert!(error.contains("nested more than 1024 levels deep"), "{error}");
    }
    assert_eq!(fexec.call_async(links, chain(2)).await.expect("a job").result().await.expect("goes on"), 2);
}
