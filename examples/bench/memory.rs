//! How much memory the client of many calls needs.

use std::fs;

use lithops::prelude::*;
use serde_json::{Value, json};

use super::calls::{noop, noop_calls};

/// The peak of this process's memory beyond what it had before the map, in MB; with the values, and beyond them.
pub(crate) async fn memory(calls: u64) -> lithops::Result<Value> {
    let fexec = FunctionExecutor::builder().build().await?;
    noop_calls(&fexec, 1_000).await?;
    // The high-water mark starts anew.
    fs::write("/proc/self/clear_refs", "5")?;
    let before = resident("VmRSS")?;
    let futures = fexec.map(noop, 0..calls).await?;
    futures.wait().await?;
    let undecoded = resident("VmHWM")?;
    let values = futures.get_result().await?;
    let peak = resident("VmHWM")?;
    assert!(values.iter().copied().eq(0..calls), "every call gives its own value, in order");
    let results = calls as f64 * size_of::<u64>() as f64 / 1e6;
    Ok(json!({
        "value": peak - before,
        "beyond_results": peak - before - results,
        "before_decoding": undecoded - before,
        "at_start": before,
    }))
}

/// What the kernel says of this process's memory, in MB.
pub(crate) fn resident(name: &str) -> lithops::Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib: Option<f64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.map(|kib| kib * 1024.0 / 1e6).ok_or_else(|| {
        lithops::Error::new(lithops::ErrorKind::Io, format!("the kernel does not say `{name}`"))
    })
}
