//! Words of a folder of text: as a `map_reduce`, and by the same code on bare threads.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use lithops::prelude::*;
use serde_json::{Value, json};

use super::calls::noop_calls;

/// Each word once, and how often it occurs: as pairs, because the function that adds them up has a map of its own.
type Counts = Vec<(String, u64)>;

/// The words of one file, which is one part.
#[lithops::function]
async fn count_object(object: DataObject) -> Result<Counts, lithops::Error> {
    Ok(count_words(&object.bytes().await?))
}

#[lithops::function]
fn merge(parts: Vec<Counts>) -> Counts {
    let mut total = HashMap::new();
    for (word, count) in parts.into_iter().flatten() {
        *total.entry(word).or_default() += count;
    }
    total.into_iter().collect()
}

/// Runs of ASCII letters, digits and `_`.
fn count_words(text: &[u8]) -> Counts {
    let mut counts: HashMap<String, u64> = HashMap::new();
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    for word in text.split(|byte| !is_word(byte)).filter(|word| !word.is_empty()) {
        let word = std::str::from_utf8(word).unwrap_or_default();
        match counts.get_mut(word) {
            Some(count) => *count += 1,
            None => drop(counts.insert(word.to_owned(), 1)),
        }
    }
    counts.into_iter().collect()
}

/// The threads' time by that of the `map_reduce`.
pub(crate) async fn count(folder: &str) -> lithops::Result<Value> {
    let folder = fs::canonicalize(folder)?;
    let fexec = FunctionExecutor::builder().build().await?;
    noop_calls(&fexec, 1_000).await?;
    // Both once for the page cache and for memory that nobody has used lately; then the threads before and after,
    // because other tenants of the machine come and go.
    let (mut expected, _) = on_threads(&folder)?;
    expected.sort_unstable();
    let map_reduce = || async {
        let source = DataSource::path(&folder);
        fexec.map_reduce(count_object, source, merge).await?.result().await
    };
    drop(map_reduce().await?);
    let (_, before) = on_threads(&folder)?;
    let begun = Instant::now();
    let mut counts = map_reduce().await?;
    let wall = begun.elapsed();
    counts.sort_unstable();
    assert!(counts == expected, "every word is counted as often as by the threads");
    let (_, after) = on_threads(&folder)?;
    let plain = (before + after) / 2;
    Ok(json!({
        "value": plain.as_secs_f64() / wall.as_secs_f64(), "seconds": wall.as_secs_f64(),
        "threads_seconds": plain.as_secs_f64(), "words": counts.iter().map(|(_, count)| count).sum::<u64>(), "distinct": counts.len(),
    }))
}

fn on_threads(folder: &Path) -> lithops::Result<(Counts, Duration)> {
    let begun = Instant::now();
    let files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    let next = AtomicUsize::new(0);
    let cpus = thread::available_parallelism()?.get();
    let parts: Vec<Counts> = thread::scope(|scope| {
        let count = || {
            let mut parts = Vec::new();
            while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                parts.push(count_words(&fs::read(file)?));
            }
            std::io::Result::Ok(parts)
        };
        let threads: Vec<_> = (0..cpus).map(|_| scope.spawn(count)).collect();
        let joined = threads.into_iter().map(|thread| thread.join().expect("it does not panic"));
        joined.collect::<std::io::Result<Vec<_>>>()
    })?
    .into_iter()
    .flatten()
    .collect();
    let total = merge(parts);
    Ok((total, begun.elapsed()))
}
