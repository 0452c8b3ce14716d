//! Calls that compute: how much of two CPUs they get, and how well unequal ones are spread.

use std::{
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use lithops::prelude::*;
use serde_json::{Value, json};

use super::calls::noop_calls;

/// How long a call of `cpu` computes.
const CPU_CALL: Duration = Duration::from_millis(50);
/// The mean of the calls of `skew`.
const SKEW_MEAN: Duration = Duration::from_millis(5);

/// Computes this many rounds, and says how many nanoseconds that took.
#[lithops::function]
fn computes(rounds: u64) -> u64 {
    let begun = Instant::now();
    let mut number = rounds | 1;
    for _ in 0..rounds {
        number = black_box(number.wrapping_mul(6_364_136_223_846_793_005).rotate_left(7));
    }
    u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// How many rounds take so long on a CPU that has nothing else to do.
fn rounds_of(duration: Duration) -> u64 {
    const PROBE: u64 = 10_000_000;
    let least = (0..9).map(|_| computes(PROBE)).min().unwrap_or(1);
    (u128::from(PROBE) * duration.as_nanos() / u128::from(least.max(1))) as u64
}

/// Equal calls beside the same on bare threads, one for each CPU; the threads' time by the calls' is the efficiency.
pub(crate) async fn cpu(calls: u64) -> lithops::Result<Value> {
    let fexec = FunctionExecutor::builder().build().await?;
    noop_calls(&fexec, 1_000).await?;
    let rounds = rounds_of(CPU_CALL);
    // Before and after, because other tenants of the machine come and go.
    let before = on_threads(calls, rounds)?;
    let begun = Instant::now();
    let took = fexec.map(computes, vec![rounds; calls as usize]).await?.get_result().await?;
    let wall = begun.elapsed();
    let after = on_threads(calls, rounds)?;
    assert_eq!(took.len() as u64, calls, "every call has a value");
    let ideal = (before + after) / 2;
    Ok(json!({ "value": ideal.as_secs_f64() / wall.as_secs_f64(), "seconds": wall.as_secs_f64(),
               "ideal_seconds": ideal.as_secs_f64() }))
}

fn on_threads(calls: u64, rounds: u64) -> lithops::Result<Duration> {
    let cpus = thread::available_parallelism()?.get();
    let next = AtomicU64::new(0);
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..cpus {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < calls {
                    black_box(computes(rounds));
                }
            });
        }
    });
    Ok(begun.elapsed())
}

/// Calls of exponentially distributed length: the time all take, by Graham's list schedule of what each took.
pub(crate) async fn skew(calls: u64) -> lithops::Result<Value> {
    let fexec = FunctionExecutor::builder().build().await?;
    noop_calls(&fexec, 1_000).await?;
    let rounds = rounds_of(SKEW_MEAN) as f64;
    // The quantiles, in an order that looks random and is the same each time.
    let quantile = |call: u64| ((call * 7_919 % calls) as f64 + 0.5) / calls as f64;
    let inputs: Vec<u64> = (0..calls).map(|call| (-rounds * (1.0 - quantile(call)).ln()) as u64).collect();
    let begun = Instant::now();
    let took = fexec.map(computes, inputs).await?.get_result().await?;
    let wall = begun.elapsed();
    let cpus = thread::available_parallelism()?.get();
    let graham = list_schedule(&took, cpus);
    Ok(json!({ "value": wall.as_secs_f64() / graham.as_secs_f64(), "seconds": wall.as_secs_f64(),
               "graham_seconds": graham.as_secs_f64() }))
}

/// When the last call ends, if each begins on the CPU that is free first.
fn list_schedule(nanos: &[u64], cpus: usize) -> Duration {
    let mut free = vec![0u64; cpus];
    for nanos in nanos {
        if let Some(first) = free.iter_mut().min() {
            *first += nanos;
        }
    }
    Duration::from_nanos(free.into_iter().max().unwrap_or(0))
}
