//! What a call costs: the first one, many small ones, one after another, and with much data.

use std::time::Instant;

use lithops::{Bytes, prelude::*};
use serde_json::{Value, json};

use super::processes::CpuTime;

/// The size of an argument and of a result of `bytes`.
const SIZE: usize = 1 << 20;
/// How many calls are made before those that are measured.
const WARM_UP: u64 = 1_000;

#[lithops::function]
pub(crate) fn noop(x: u64) -> u64 {
    x
}

#[lithops::function]
fn same(data: Bytes) -> Bytes {
    data
}

/// From the creation of an executor to its first result.
pub(crate) async fn start() -> lithops::Result<Value> {
    let begun = Instant::now();
    let fexec = FunctionExecutor::builder().build().await?;
    let value = fexec.call_async(noop, 7).await?.result().await?;
    let took = begun.elapsed();
    assert_eq!(value, 7, "the call gives its own value");
    Ok(json!({ "value": took.as_secs_f64() * 1e3 }))
}

/// One map of calls that do nothing, until all values are there.
pub(crate) async fn noop_calls(fexec: &FunctionExecutor, calls: u64) -> lithops::Result<Vec<u64>> {
    fexec.map(noop, 0..calls).await?.get_result().await
}

/// Calls per second of such a map.
pub(crate) async fn noop_rate(calls: u64) -> lithops::Result<Value> {
    let fexec = FunctionExecutor::builder().build().await?;
    noop_calls(&fexec, WARM_UP).await?;
    let (cpu, begun) = (CpuTime::now(), Instant::now());
    let values = noop_calls(&fexec, calls).await?;
    let took = begun.elapsed();
    let cpu = cpu.per_call(calls);
    assert!(values.into_iter().eq(0..calls), "every call gives its own value, in order");
    Ok(json!({ "value": calls as f64 / took.as_secs_f64(), "cpu_ns_per_call": cpu }))
}

/// One call after another on workers that are warm.
pub(crate) async fn latency(calls: u64) -> lithops::Result<Value> {
    let fexec = FunctionExecutor::builder().build().await?;
    noop_calls(&fexec, WARM_UP).await?;
    let mut micros = Vec::new();
    for call in 0..calls + calls / 10 {
        let begun = Instant::now();
        let value = fexec.call_async(noop, call).await?.result().await?;
        micros.push(begun.elapsed().as_secs_f64() * 1e6);
        assert_eq!(value, call, "the call gives its own value");
    }
    // The first tenth warms up.
    let mut micros = micros.split_off(micros.len() - usize::try_from(calls).unwrap_or(usize::MAX));
    micros.sort_by(f64::total_cmp);
    Ok(json!({ "value": micros[micros.len() / 2], "p99": micros[micros.len() * 99 / 100] }))
}

/// Calls that are given a MiB each and return it; MiB per second there and back together.
pub(crate) async fn bytes(calls: u64) -> lithops::Result<Value> {
    let fexec = FunctionExecutor::builder().build().await?;
    noop_calls(&fexec, WARM_UP).await?;
    let inputs: Vec<Bytes> =
        (0..calls).map(|call| Bytes::from(vec![u8::try_from(call % 251).unwrap_or(0); SIZE])).collect();
    // Once untimed: memory that nobody has used lately may cost the machine more than all the rest.
    let values = fexec.map(same, inputs.clone()).await?.get_result().await?;
    assert!(values == inputs, "every call gives its own value, in order");
    drop(values);
    let begun = Instant::now();
    let values = fexec.map(same, inputs.clone()).await?.get_result().await?;
    let took = begun.elapsed();
    assert!(values == inputs, "every call gives its own value, in order");
    Ok(json!({ "value": (2 * calls * SIZE as u64) as f64 / (1 << 20) as f64 / took.as_secs_f64() }))
}

#[lithops::function]
fn add(x: u64) -> u64 {
    x + 7
}

/// Seconds of a map with chunks of this size on the backend of the configuration, and of the client's CPU.
pub(crate) async fn faas(calls: u64, chunksize: usize) -> lithops::Result<Value> {
    let fexec = FunctionExecutor::builder().build().await?;
    let (cpu, begun) = (CpuTime::now(), Instant::now());
    let values = fexec.map(add, 0..calls).chunksize(chunksize).await?.get_result().await?;
    let (took, cpu) = (begun.elapsed(), cpu.of_client());
    assert!(values.into_iter().eq(7..calls + 7), "every call gives its own value, in order");
    Ok(json!({ "value": took.as_secs_f64(), "client_cpu_s": cpu.as_secs_f64() }))
}
