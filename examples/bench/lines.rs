//! The partitioner: reading a folder of text in parts, and its lines, beside the same by hand. Both run in a sub-worker
//! on one CPU.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::PathBuf,
    process::Command,
    time::Instant,
};

use lithops::prelude::*;
use serde_json::{Value, json};

use super::calls::noop_calls;

/// The size of a part.
const PART: u64 = ByteSize::mib(4).bytes();

/// How many bytes or lines were found, and how long that took, in nanoseconds.
type Timed = (u64, u64);

fn timed(begun: Instant, found: u64) -> Timed {
    (found, u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

#[lithops::function]
async fn read(object: DataObject) -> Result<Timed, lithops::Error> {
    let begun = Instant::now();
    Ok(timed(begun, object.bytes().await?.len() as u64))
}

#[lithops::function]
async fn lines(object: DataObject) -> Result<Timed, lithops::Error> {
    let begun = Instant::now();
    let bytes = object.bytes().await?;
    Ok(timed(begun, bytes.lines().map(|line| u64::from(!line.is_empty())).sum()))
}

#[lithops::function]
async fn stream(object: DataObject) -> Result<Timed, lithops::Error> {
    let begun = Instant::now();
    let (mut lines, mut found) = (object.lines(), 0);
    while let Some(line) = lines.next().await {
        found += u64::from(!line?.is_empty());
    }
    Ok(timed(begun, found))
}

fn bare_part(path: &PathBuf, at: u64) -> std::io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let len = file.metadata()?.len().saturating_sub(at).min(PART);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

#[lithops::function]
fn bare_read((path, at): (PathBuf, u64)) -> Result<Timed, std::io::Error> {
    let begun = Instant::now();
    Ok(timed(begun, bare_part(&path, at)?.len() as u64))
}

#[lithops::function]
fn bare_lines((path, at): (PathBuf, u64)) -> Result<Timed, std::io::Error> {
    let begun = Instant::now();
    let bytes = bare_part(&path, at)?;
    let (mut rest, mut found) = (&*bytes, 0);
    while let Some(end) = memchr::memchr(b'\n', rest) {
        found += u64::from(std::str::from_utf8(&rest[..end]).map_or(1, str::len) > 0);
        rest = &rest[end + 1..];
    }
    Ok(timed(begun, found))
}

/// The lower of two ratios: reading parts by reading files, and the lines of parts by a loop over the same bytes.
pub(crate) async fn partitioner(folder: &str) -> lithops::Result<Value> {
    let folder = fs::canonicalize(folder)?;
    let mut files: Vec<_> =
        fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    let mut pieces = Vec::new();
    for file in &files {
        pieces.extend((0..fs::metadata(file)?.len()).step_by(PART as usize).map(|at| (file.clone(), at)));
    }
    let bytes =
        files.iter().map(|file| fs::metadata(file).map(|found| found.len())).sum::<std::io::Result<u64>>()?;
    let fexec = FunctionExecutor::builder().worker_processes(1).build().await?;
    noop_calls(&fexec, 1_000).await?;
    let source = || DataSource::path(&folder);
    // MiB per second of one CPU, and what was found.
    let rate = |found: Vec<Timed>| {
        let nanos: u64 = found.iter().map(|(_, nanos)| nanos).sum();
        let found: u64 = found.iter().map(|(found, _)| found).sum();
        (bytes as f64 / (1 << 20) as f64 / (nanos as f64 / 1e9), found)
    };
    let mut rounds = Vec::new();
    for _ in 0..3 {
        let (bare_read, bare_bytes) = rate(fexec.map(bare_read, pieces.clone()).await?.get_result().await?);
        let (own_read, own_bytes) =
            rate(fexec.map(read, source()).obj_chunk_size(ByteSize::b(PART)).await?.get_result().await?);
        let (bare_lines, _) = rate(fexec.map(bare_lines, pieces.clone()).await?.get_result().await?);
        let (own_lines, found) =
            rate(fexec.map(lines, source()).obj_chunk_size(ByteSize::b(PART)).await?.get_result().await?);
        let (streamed, again) =
            rate(fexec.map(stream, source()).obj_chunk_size(ByteSize::b(PART)).await?.get_result().await?);
        assert_eq!((own_bytes, found), (bare_bytes, again), "every byte and every line is there once");
        let begun = Instant::now();
        Command::new("wc").arg("-l").args(&files).output()?;
        let wc = bytes as f64 / (1 << 20) as f64 / begun.elapsed().as_secs_f64();
        rounds.push([
            own_read / bare_read,
            own_lines / bare_lines,
            streamed / bare_lines,
            own_read,
            own_lines,
            streamed,
            wc,
        ]);
    }
    let median = |column: usize| {
        let mut values: Vec<f64> = rounds.iter().map(|round| round[column]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Ok(json!({
        "value": median(0).min(median(1)),
        "read_of_bare": median(0), "lines_of_bare": median(1), "stream_of_bare": median(2),
        "read_mib_s": median(3), "lines_mib_s": median(4), "stream_mib_s": median(5), "wc_mib_s": median(6),
    }))
}
