//! Reads text from an S3 in parts, and its lines, beside the same by object_store alone. Both run in two sub-workers, which
//! read one part at a time.
//!
//! `cargo xtask bench partitioner_s3` starts a server, and runs `parts ENDPOINT BUCKET FOLDER` with the server's
//! configuration.
#![expect(clippy::print_stdout, reason = "the measurement is what it is for")]

use std::{fs, ops::Deref, path::PathBuf, sync::OnceLock, time::Instant};

use lithops::{Error, ErrorKind, Result, prelude::*};
use object_store::{
    ObjectStoreExt,
    aws::{AmazonS3, AmazonS3Builder},
};
use serde_json::json;

/// The size of a part.
const PART: u64 = 4 << 20;
const PREFIX: &str = "s3-parts/";
const ROUNDS: usize = 5;

/// How many bytes or lines were found, and how long that took, in nanoseconds.
type Timed = (u64, u64);

fn timed(begun: Instant, found: u64) -> Timed {
    (found, u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

#[lithops::function]
async fn read(object: DataObject) -> Result<Timed> {
    let begun = Instant::now();
    Ok(timed(begun, object.bytes().await?.len() as u64))
}

#[lithops::function]
async fn lines(object: DataObject) -> Result<Timed> {
    let begun = Instant::now();
    let bytes = object.bytes().await?;
    Ok(timed(begun, bytes.lines().map(|line| u64::from(!line.is_empty())).sum()))
}

/// Where the bare client reads a part.
type Place = (String, String, String, u64);

/// The client, which is kept from call to call as that of lithops is.
fn client(endpoint: &str, bucket: &str) -> Result<&'static AmazonS3> {
    static CLIENT: OnceLock<AmazonS3> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client);
    }
    let from_environment = AmazonS3Builder::from_env().with_endpoint(endpoint).with_bucket_name(bucket);
    let client = from_environment.with_region("us-east-1").with_allow_http(true).build();
    Ok(CLIENT.get_or_init(|| client.expect("a client")))
}

async fn bare_part((endpoint, bucket, key, at): &Place) -> Result<impl Deref<Target = [u8]>> {
    let part = client(endpoint, bucket)?.get_range(&key.as_str().into(), *at..*at + PART).await;
    part.map_err(|error| Error::new(ErrorKind::Io, error.to_string()))
}

#[lithops::function]
async fn bare_read(place: Place) -> Result<Timed> {
    let begun = Instant::now();
    Ok(timed(begun, bare_part(&place).await?.len() as u64))
}

#[lithops::function]
async fn bare_lines(place: Place) -> Result<Timed> {
    let begun = Instant::now();
    let bytes = bare_part(&place).await?;
    let (mut rest, mut found) = (&*bytes, 0);
    while let Some(end) = memchr::memchr(b'\n', rest) {
        found += u64::from(std::str::from_utf8(&rest[..end]).map_or(1, str::len) > 0);
        rest = &rest[end + 1..];
    }
    Ok(timed(begun, found))
}

/// Puts the files there, and says where their parts begin.
async fn upload(fexec: &FunctionExecutor, [endpoint, bucket, folder]: &[String; 3]) -> Result<Vec<Place>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    let mut places = Vec::new();
    for file in files {
        let key = format!("{PREFIX}{}", file.file_name().unwrap_or_default().to_string_lossy());
        fexec.storage().upload_file(&file, bucket, &key).await?;
        let parts = (0..fs::metadata(&file)?.len()).step_by(PART as usize);
        places.extend(parts.map(|at| (endpoint.clone(), bucket.clone(), key.clone(), at)));
    }
    Ok(places)
}

async fn measure() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: [String; 3] = arguments
        .try_into()
        .map_err(|_| Error::new(ErrorKind::InvalidInput, "write `parts ENDPOINT BUCKET FOLDER`"))?;
    let fexec = FunctionExecutor::builder().worker_processes(2).build().await?;
    let places = upload(&fexec, &arguments).await?;
    let source = || DataSource::prefix(format!("{}/{PREFIX}", arguments[1]));
    let size = ByteSize::b(PART);
    // MiB per second of one sub-worker, and what was found.
    let mib = places.len() as f64 * PART as f64 / (1 << 20) as f64;
    let rate = |found: Vec<Timed>| {
        let nanos: u64 = found.iter().map(|(_, nanos)| nanos).sum();
        (mib / (nanos as f64 / 1e9), found.iter().map(|(found, _)| found).sum::<u64>())
    };
    let mut rounds = Vec::new();
    // The first one warms up.
    for _ in 0..=ROUNDS {
        let (bare_read, bytes) = rate(fexec.map(bare_read, places.clone()).await?.get_result().await?);
        let (own_read, own_bytes) =
            rate(fexec.map(read, source()).obj_chunk_size(size).await?.get_result().await?);
        let (bare_lines, _) = rate(fexec.map(bare_lines, places.clone()).await?.get_result().await?);
        let (own_lines, _) = rate(fexec.map(lines, source()).obj_chunk_size(size).await?.get_result().await?);
        assert_eq!(bytes, own_bytes, "every byte is there once");
        rounds.push([own_read / bare_read, own_lines / bare_lines, own_read, bare_read]);
    }
    let median = |column: usize| {
        let mut values: Vec<f64> = rounds[1..].iter().map(|round| round[column]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let found = json!({
        "workload": "partitioner_s3", "value": median(0).min(median(1)), "unit": "of object_store alone",
        "read_of_bare": median(0), "lines_of_bare": median(1), "read_mib_s": median(2), "bare_mib_s": median(3),
    });
    println!("{found}");
    Ok(())
}

fn main() -> Result<()> {
    lithops::init();
    tokio::runtime::Runtime::new()?.block_on(measure())
}
