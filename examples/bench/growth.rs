//! How time and memory grow with calls, jobs at once, jobs one after another, and sub-workers.

use std::time::{Duration, Instant};

use lithops::prelude::*;
use serde_json::{Value, json};

use super::{
    calls::{noop, noop_calls},
    memory::{memory, resident},
    processes::CpuTime,
};

#[lithops::function]
fn rest(millis: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(millis));
    millis
}

/// What a map of each number of calls costs a call, up to `most` calls.
pub(crate) async fn calls(most: u64) -> lithops::Result<Value> {
    let mut rows = Vec::new();
    let mut calls = 10_000;
    while calls <= most {
        let fexec = FunctionExecutor::builder().build().await?;
        noop_calls(&fexec, 1_000).await?;
        let (cpu, begun) = (CpuTime::now(), Instant::now());
        noop_calls(&fexec, calls).await?;
        let seconds = begun.elapsed().as_secs_f64();
        let cpu = cpu.per_call(calls);
        drop(fexec);
        let bytes = memory(calls).await?["value"].as_f64().unwrap_or(0.0) * 1e6 / calls as f64;
        rows.push(json!({ "calls": calls, "seconds": seconds, "cpu_ns_per_call": cpu, "client_bytes_per_call": bytes }));
        calls *= 10;
    }
    let slowest = rows.last().and_then(|row| row["seconds"].as_f64()).unwrap_or(0.0);
    Ok(json!({ "value": slowest, "rows": rows }))
}

/// Calls of 20 ms on ever more sub-workers: how much longer than they sleep, by one.
pub(crate) async fn sub_workers(most: u64) -> lithops::Result<Value> {
    let mut rows = Vec::new();
    let mut processes = 1;
    while processes <= most {
        let fexec = FunctionExecutor::builder().worker_processes(processes as usize).build().await?;
        fexec.map(rest, vec![1; processes as usize]).await?.get_result().await?;
        let begun = Instant::now();
        fexec.map(rest, vec![20; 20 * processes as usize]).chunksize(1).await?.get_result().await?;
        rows.push(json!({ "sub_workers": processes, "of_ideal": begun.elapsed().as_secs_f64() / 0.4 }));
        processes *= 2;
    }
    let last = rows.last().and_then(|row| row["of_ideal"].as_f64()).unwrap_or(0.0);
    Ok(json!({ "value": last, "rows": rows }))
}

/// Jobs of ten calls at once, up to `most`: milliseconds for each.
pub(crate) async fn jobs_at_once(most: u64) -> lithops::Result<Value> {
    let fexec = FunctionExecutor::builder().build().await?;
    noop_calls(&fexec, 1_000).await?;
    let mut rows = Vec::new();
    let mut jobs = 1;
    while jobs <= most {
        let begun = Instant::now();
        let mut running = Vec::new();
        for job in 0..jobs {
            running.push(fexec.map(noop, job..job + 10).await?);
        }
        for (job, futures) in running.iter().enumerate() {
            assert!(
                futures.get_result().await?.into_iter().eq(job as u64..job as u64 + 10),
                "its own values"
            );
        }
        rows.push(json!({ "jobs": jobs, "ms_per_job": begun.elapsed().as_secs_f64() * 1e3 / jobs as f64 }));
        jobs *= 10;
    }
    let last = rows.last().and_then(|row| row["ms_per_job"].as_f64()).unwrap_or(0.0);
    Ok(json!({ "value": last, "rows": rows }))
}

/// Jobs one after another: milliseconds for each, and by how many bytes each makes the client larger once the first
/// tenth is over.
pub(crate) async fn jobs_in_turn(jobs: u64) -> lithops::Result<Value> {
    let fexec = FunctionExecutor::builder().build().await?;
    for job in 0..jobs / 10 {
        fexec.map(noop, job..job + 100).await?.get_result().await?;
    }
    let (before, begun) = (resident("VmRSS")?, Instant::now());
    for job in 0..jobs {
        fexec.map(noop, job..job + 100).await?.get_result().await?;
    }
    let ms = begun.elapsed().as_secs_f64() * 1e3 / jobs as f64;
    let bytes = (resident("VmRSS")? - before) * 1e6 / jobs as f64;
    Ok(json!({ "value": ms, "client_bytes_per_job": bytes }))
}
