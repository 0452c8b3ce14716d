//! The storage path: what a durable job writes and reads, beside the same bytes through the storage alone.

use std::time::Instant;

use lithops::{Bytes, prelude::*};
use serde_json::{Value, json};

use super::calls::{noop, noop_calls};

/// The size of an argument and of a result.
const SIZE: usize = 1 << 20;
/// Calls in a chunk of the job of small outcomes.
const CHUNK: u64 = 100;

#[lithops::function]
fn changed(data: Bytes) -> Bytes {
    let mut data = data.to_vec();
    data[0] ^= 1;
    data.into()
}

/// The rate of a durable job of 1 MiB in and out by that of the storage alone; and how many objects a chunk of small
/// outcomes is.
pub(crate) async fn storage(calls: u64) -> lithops::Result<Value> {
    let fexec = FunctionExecutor::builder().build().await?;
    noop_calls(&fexec, 1_000).await?;
    let storage = fexec.storage();
    let inputs: Vec<Bytes> =
        (0..calls).map(|call| Bytes::from(call.to_le_bytes().repeat(SIZE / 8))).collect();
    let mut rounds = Vec::new();
    for _ in 0..3 {
        let begun = Instant::now();
        for (number, input) in inputs.iter().enumerate() {
            // A job stores an argument and a result, and reads both.
            for kind in ["argument", "result"] {
                let key = format!("bench/{kind}/{number}");
                storage.put_object(storage.bucket(), &key, input.clone()).await?;
                assert_eq!(storage.get_object(storage.bucket(), &key).await?.len(), SIZE, "the whole object");
            }
        }
        let bare = begun.elapsed().as_secs_f64();
        for key in storage.list_keys(storage.bucket(), "bench/").await? {
            storage.delete_object(storage.bucket(), &key).await?;
        }
        let begun = Instant::now();
        let values = fexec.map(changed, inputs.clone()).durable().chunksize(2).await?.get_result().await?;
        let job = begun.elapsed().as_secs_f64();
        assert!(values.iter().all(|value| value.len() == SIZE), "every value is whole");
        rounds.push((bare / job, calls as f64 * 2.0 / job));
    }
    rounds.sort_by(|left, right| left.0.total_cmp(&right.0));
    let (ratio, rate) = rounds[rounds.len() / 2];

    let small = CHUNK * 1_000;
    let begun = Instant::now();
    let futures = fexec.map(noop, 0..small).durable().chunksize(CHUNK as usize).detach().await?;
    futures.wait().await?;
    let seconds = begun.elapsed().as_secs_f64();
    let keys = storage.list_keys(storage.bucket(), &format!("lithops.jobs/{}/", futures.job_id())).await?;
    Ok(json!({
        "value": ratio, "mib_s": rate, "objects": keys.len(),
        "objects_per_chunk": keys.len() as f64 / (small / CHUNK) as f64, "small_calls_s": small as f64 / seconds,
    }))
}
