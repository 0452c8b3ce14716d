//! Puts the files of a folder into the configured storage, and counts their words there, in parts of several sizes.
//!
//! ```sh
//! LITHOPS_CONFIG_FILE=lithops.yaml cargo run --example words --features aws_s3 -- folder
//! ```
#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use lithops::prelude::*;

/// Words as `LC_ALL=C wc -w` counts them: between ASCII white space, with at least one printable ASCII character.
#[lithops::function]
async fn count(object: DataObject) -> Result<u64, lithops::Error> {
    let space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let text = object.bytes().await?;
    Ok(text.split(space).filter(|word| word.iter().any(u8::is_ascii_graphic)).count() as u64)
}

#[lithops::function]
fn sum(counts: Vec<u64>) -> u64 {
    counts.iter().sum()
}

#[lithops::main]
async fn main() -> lithops::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let fexec = FunctionExecutor::builder().worker_processes(4).build().await?;
    let storage = fexec.storage();
    let mut keys = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let key = format!("words-example/{}", entry.file_name().to_string_lossy());
            storage.upload_file(entry.path(), storage.bucket(), &key).await?;
            keys.push(key);
        }
    }
    let files = DataSource::prefix(format!("{}/words-example/", storage.bucket()));
    for size in [ByteSize::kib(3), ByteSize::kib(50), ByteSize::mib(1)] {
        let words = fexec.map_reduce(count, files.clone(), sum).obj_chunk_size(size).await?.result().await?;
        println!("{words} words in parts of {size}");
    }
    storage.delete_objects(storage.bucket(), keys).await
}
