//! What a platform's data file may say, and what its workers are then.

use std::time::Duration;

use super::*;
use crate::compute::{
    Liveness,
    platform_data::{Bounds, Interrupted, Prices, Processes, Start, Timeout, Workers},
};

const CONTAINERS: &str = "
platform: containers
date: 2026-11-23
sources: [https://example.com]
granularity: caas
memory: {default: 2048, min: 512, max: 32768}
vcpus: {default: 4, min: 1, max: 8}
worker_processes: {max: 256}
workers: {default: 100, max: 1000}
feed: false
reports: buffered
liveness: response
cancel: activation
startup: {cold: 2s, warm: 20ms, sub_worker: 3ms}
call_overhead: 30us
price: {vcpu_second_usd: 2.4e-5, increment: 100ms}
variants:
  big: {vcpus: {default: 8}}
  bought: {vcpus: {mb_per_vcpu: 1024}}
";

fn wish() -> WorkerWish {
    WorkerWish::default()
}

/// The example in the documentation of [`Platform`].
fn example() -> String {
    let source = include_str!("platform.rs").lines().skip_while(|line| *line != "/// ```yaml").skip(1);
    let lines = source.take_while(|line| *line != "/// ```");
    lines
        .map(|line| line.trim_start_matches("///").strip_prefix(' ').unwrap_or_default())
        .fold(String::new(), |text, line| text + line + "\n")
}

/// The keys that a part of a description may have.
fn keys<T: serde::de::DeserializeOwned>() -> Vec<String> {
    let unknown = serde_json::json!({"no such key": 1});
    let words = serde_json::from_value::<T>(unknown).err().expect("it is unknown").to_string();
    let (_, expected) = words.split_once("expected").expect("what is known");
    let mut keys: Vec<_> = expected.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    keys.sort();
    keys
}

#[test]
fn the_documentation_has_every_key_that_is_read_and_no_other() {
    Platform::parse(&example(), "the documentation").expect("the example is right");
    let example: BTreeMap<String, Value> =
        BTreeMap::deserialize(&yaml::read(&example()).expect("YAML")).expect("a mapping");
    assert_eq!(example.keys().cloned().collect::<Vec<_>>(), keys::<Data>());
    for (key, keys) in [
        ("memory", keys::<Bounds>()),
        ("worker_processes", keys::<Processes>()),
        ("workers", keys::<Workers>()),
        ("timeout", keys::<Timeout>()),
        ("startup", keys::<Start>()),
        ("price", keys::<Prices>()),
        ("pull", keys::<Pull>()),
        ("spot", keys::<Interrupted>()),
    ] {
        let Value::Map(part) = &example[key] else { panic!("`{key}` is a mapping") };
        assert_eq!(part.keys().cloned().collect::<Vec<_>>(), keys, "{key}");
    }
}

#[test]
fn outcomes_through_the_storage_alone_are_no_word_of_a_file() {
    let text = CONTAINERS.replace("reports: buffered", "reports: stored");
    let error = Platform::parse(&text, "containers.yaml").expect_err("no file says so").to_string();
    assert!(error.contains("containers.yaml") && error.contains("`streamed` or `buffered`"), "{error}");
    assert!(error.contains("a fleet"), "{error}");
}

#[test]
fn a_fleet_its_sizes_and_its_price_can_be_described() {
    let text = CONTAINERS
        .replace("vcpus: {default: 4, min: 1, max: 8}", "vcpus: {default: 4, steps: [1, 4, 8]}\nmemory_of_vcpu: [{vcpus: 4, min: 2048, max: 16384}]")
        .replace("feed: false", "feed: false\npull: {lease: 60s, look: 2s, orphan: 300s}")
        .replace("price: {", "spot: {discount: 0.6, interrupted_per_hour: 0.1}\nprice: {chunk_usd: 1.0e-5, address_hour_usd: 0.005, ");
    let platform = Platform::parse(&text, "fleet.yaml").expect("it is right");
    let worker = platform.worker(&wish()).expect("it is sold");
    let pull = worker.pull.expect("workers pull");
    assert_eq!((pull.lease, pull.beat), (Duration::from_secs(60), Duration::from_secs(15)));
    assert_eq!((pull.look, pull.orphan), (Duration::from_secs(2), Duration::from_secs(300)));
    assert_eq!(worker.spot, Some(Spot { discount: 0.6, interrupted_per_hour: 0.1 }));
    assert!(worker.bills_lifetime(), "a worker of a fleet is paid for while it lives");
    let price = worker.second_usd();
    assert!((price - (4.0 * 2.4e-5 * 0.4 + 0.005 / 3600.0)).abs() < 1e-12, "{price}");
    let refused = |wish: WorkerWish| platform.worker(&wish).expect_err("it is not sold").to_string();
    let error = refused(WorkerWish { vcpus: Some(2.0), ..wish() });
    assert!(error.contains("write one of 1, 4, 8"), "{error}");
    let error = refused(WorkerWish { memory: Some(20_000), ..wish() });
    assert!(error.contains("20000 MB") && error.contains("from 2048 to 16384"), "{error}");
    for (right, wrong, word) in [
        ("feed: false", "feed: true", "`feed`"),
        ("lease: 60s", "lease: 60s, beat: 40s", "`pull.beat`"),
        ("lease: 60s", "lease: 60s, patience: 10s", "`pull.patience`"),
        ("discount: 0.6", "discount: 60", "`spot.discount`"),
        ("steps: [1, 4, 8]", "steps: [1, 2]", "`vcpus.default`"),
        ("steps: [1, 4, 8]", "steps: [1, 4, 8], min: 1", "`vcpus` is one of"),
        ("min: 2048", "min: 20480", "`memory_of_vcpu`"),
        ("chunk_usd: 1.0e-5", "chunk_usd: -1", "`price.chunk_usd`"),
    ] {
        let error = Platform::parse(&text.replace(right, wrong), "fleet.yaml").expect_err(word).to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn a_container_runs_as_many_calls_as_it_has_cpus() {
    let platform = Platform::parse(CONTAINERS, "containers.yaml").expect("it is right");
    let worker = platform.worker(&wish()).expect("it is sold");
    assert_eq!((worker.default_worker_processes, worker.worker_cpus), (4, 4.0));
    assert_eq!(worker.liveness, Liveness::ResponseOnly);
    let large = platform.worker(&WorkerWish { vcpus: Some(6.0), ..wish() }).expect("it is sold");
    assert_eq!(large.default_worker_processes, 6);
    let big = platform.worker(&WorkerWish { variant: Some("big".into()), ..wish() }).expect("it is sold");
    assert_eq!(big.default_worker_processes, 8);
    let bought =
        platform.worker(&WorkerWish { variant: Some("bought".into()), ..wish() }).expect("it is sold");
    assert_eq!(bought.default_worker_processes, 2);
}

#[test]
fn what_the_platform_does_not_sell_is_refused_by_name() {
    let platform = Platform::parse(CONTAINERS, "containers.yaml").expect("it is right");
    let refused = |wish: WorkerWish| platform.worker(&wish).expect_err("refused").to_string();
    let memory = refused(WorkerWish { memory: Some(64), ..wish() });
    assert!(memory.contains("`runtime_memory` is 64 MB") && memory.contains("512 to 32768"), "{memory}");
    let cpus = refused(WorkerWish { vcpus: Some(9.0), ..wish() });
    assert!(cpus.contains("`runtime_cpu` is 9") && cpus.contains("from 1 to 8"), "{cpus}");
    let variant = refused(WorkerWish { variant: Some("huge".into()), ..wish() });
    assert!(variant.contains("`huge`") && variant.contains("`big`"), "{variant}");
}

#[test]
fn wrong_data_name_the_place() {
    for (from, to, wanted) in [
        ("increment: 100ms", "increment: 100", "increment"),
        ("vcpu_second_usd: 2.4e-5", "vcpu_second_usd: -1", "`price.vcpu_second_usd`"),
        ("vcpu_second_usd: 2.4e-5", "vcpu_second_usd: .nan", "`price.vcpu_second_usd`"),
        ("cold: 2s", "cold: -2s", "c.yaml:14"),
        ("feed: false", "fead: false", "fead"),
        ("default: 100, max: 1000", "default: 0, max: 1000", "`workers.default`"),
        ("default: 100, max: 1000", "default: 2000, max: 1000", "`workers.default`"),
        ("default: 4, min: 1", "default: 0.5, min: 1", "`vcpus.default`"),
        ("granularity: caas", "granularity: baas", "c.yaml:5"),
    ] {
        let text = CONTAINERS.replace(from, to);
        let said = Platform::parse(&text, "c.yaml").err().map(|error| error.to_string());
        let fits = to == "increment: 100" && said.is_none();
        assert!(fits || said.as_ref().is_some_and(|said| said.contains(wanted)), "{to}: {said:?}");
    }
}
