//! A million calls in one map: each has its outcome, and the client needs little more than the results.

use std::fs;

use lithops::prelude::*;

lithops::test_worker!();

const CALLS: u64 = 1_000_000;

#[lithops::function]
fn next(x: u64) -> u64 {
    x + 1
}

/// A number of `/proc/self/status`, in bytes.
fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the status");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the line");
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[tokio::test]
async fn a_million_calls_in_little_memory() {
    let fexec = FunctionExecutor::builder().build().await.expect("an executor");
    fexec.call_async(next, 1).await.expect("a call").result().await.expect("a value");
    let before = memory("VmRSS");
    // A lazy input that does not know its length.
    let inputs = (0..CALLS).filter(|_| true);
    let futures = fexec.map(next, inputs).await.expect("a job");
    futures.wait().await.map(drop).expect("all have ended");
    assert_eq!(futures.len() as u64, CALLS);
    let results = futures.get_result().await.expect("results");
    assert!(results.iter().zip(1..=CALLS).all(|(result, expected)| *result == expected));
    let grown = memory("VmHWM").saturating_sub(before);
    // The decoded results, the handles that `wait` gave out, and at most 64 MiB for everything else.
    let handles = CALLS * 16 * 2;
    assert!(grown < CALLS * 8 + handles + (64 << 20), "the client grew by {} MiB", grown >> 20);
    assert_eq!(futures[999_999].result().await.expect("a value"), CALLS);
    assert!(futures[500_000].stats().expect("ended").started > futures[0].stats().expect("ended").queued);
}
