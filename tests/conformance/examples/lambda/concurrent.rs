//! Thousands of invocations at once: what they cost the client.

use std::time::Instant;

use lithops_core::executor::FunctionExecutor;
use lithops_macros::function;
use serde_json::json;

use super::{Done, print, yaml};

const CALLS: u64 = 5000;
const RUNS: usize = 5;

/// The service runs nothing: what comes back is what went.
#[function(crate = "lithops_conformance")]
fn comes_back(x: u64) -> u64 {
    x
}

pub(super) async fn concurrent(address: &str) -> Done {
    let folder = tempfile::tempdir()?;
    let yaml = yaml(address, folder.path(), &format!(", max_workers: {CALLS}"));
    let fexec = FunctionExecutor::builder().config_yaml(yaml).progress(false).build().await?;
    // Whatever is done once is done.
    fexec.map(comes_back, 0..1).await?.get_result().await?;
    let (mut walls, mut cpus, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (begun, before) = (Instant::now(), cpu_seconds()?);
        let values = fexec.map(comes_back, 0..CALLS).await?.get_result().await?;
        walls.push(begun.elapsed().as_secs_f64());
        cpus.push(cpu_seconds()? - before);
        peaks.push(peak_kb()? >> 10);
        assert!(values.into_iter().eq(0..CALLS), "every call gives its own value, in order");
    }
    let first = walls[0];
    cpus.sort_by(f64::total_cmp);
    let more = json!({
        "address": address.split(':').next(), "calls": CALLS, "client_cpu_s": cpus[RUNS / 2],
        "first_s": first, "peak_mb_of_first": peaks[0], "peak_mb_of_all": peaks[RUNS - 1],
    });
    print("lambda_concurrent", "s", walls, &more);
    Ok(())
}

/// The CPU time of this process.
fn cpu_seconds() -> Result<f64, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after = stat.rsplit_once(") ").ok_or("no such file")?.1;
    let ticks: u64 = after.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(ticks as f64 / 100.0)
}

fn peak_kb() -> Result<u64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no peak")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
