//! A program and its workers use the configured storage: objects, cloud objects, and a job that is stored.
//!
//! ```sh
//! LITHOPS_CONFIG_FILE=lithops.yaml cargo run --example objects --features aws_s3
//! ```

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use lithops::prelude::*;

/// Counts the words of a part of an object, which only the worker reads.
#[lithops::function]
async fn count(object: DataObject) -> Result<u64, lithops::Error> {
    Ok(object.bytes().await?.lines().map(|line| line.split_whitespace().count() as u64).sum())
}

#[lithops::function]
fn sum(counts: Vec<u64>) -> u64 {
    counts.iter().sum()
}

/// Stores what it makes, and gives back its name alone.
#[lithops::function]
async fn store(x: u64, storage: StorageClient) -> Result<lithops::CloudObject, lithops::Error> {
    storage.put_cloudobject(vec![x as u8; 1000]).await
}

#[lithops::function]
fn square(x: u64) -> u64 {
    x * x
}

/// Starts a job of its own, and returns its handle: with the handle, the client reads what the job has stored.
#[lithops::function]
async fn squares(count: u64) -> Result<FuturesList<u64>, lithops::Error> {
    let fexec = FunctionExecutor::builder().build().await?;
    let futures = fexec.map(square, 0..count).durable().await?;
    futures.wait().await?;
    Ok(futures)
}

#[lithops::main]
async fn main() -> lithops::Result<()> {
    let fexec = FunctionExecutor::builder().worker_processes(4).build().await?;
    let storage = fexec.storage();
    let keys: Vec<String> = (0..20).map(|number| format!("objects-example/{number}.txt")).collect();
    for (words, key) in keys.iter().enumerate() {
        storage.put_object(storage.bucket(), key, "word\n".repeat(words)).await?;
    }

    let texts = DataSource::prefix(format!("{}/objects-example/", storage.bucket()));
    for bytes in [7, 30, 1000] {
        let words = fexec.map_reduce(count, texts.clone(), sum).obj_chunk_size(ByteSize::b(bytes));
        let words = words.await?.result().await?;
        println!("{} objects have {words} words, counted in parts of {bytes} bytes", keys.len());
        assert_eq!(words, 190, "0 + 1 + .. + 19");
    }

    // Its inputs and outcomes are stored, so that another program could go on with it.
    let stored = fexec.map(store, 0..8).durable().await?;
    for (x, object) in stored.get_result().await?.iter().enumerate() {
        assert_eq!(*storage.get_cloudobject(object).await?, *vec![x as u8; 1000]);
        storage.delete_cloudobject(object).await?;
    }
    let handle = fexec.call_async(squares, 4).await?.result().await?;
    assert_eq!(handle.get_result().await?, [0, 1, 4, 9]);
    storage.delete_objects(storage.bucket(), keys).await?;
    println!("every outcome was right");
    Ok(())
}
