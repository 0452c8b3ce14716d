//! Counts the words of every text file under a directory, one file per call.
//!
//! Run it with `cargo run --release --example wordcount -- DIRECTORY`. A word is a run of letters and digits, in lower
//! case. What is not UTF-8 in a file separates words.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use lithops::prelude::*;

/// How often each word occurs.
type Counts = BTreeMap<String, u64>;

#[lithops::main]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the counts are what it is for")]
async fn main() -> lithops::Result<()> {
    let files = match std::env::args_os().nth(1) {
        Some(directory) => text_files(Path::new(&directory))?,
        None => return Err(usage("no directory was given")),
    };
    if files.is_empty() {
        return Err(usage("there are no files in it"));
    }
    eprintln!("{} files", files.len());

    let fexec = FunctionExecutor::builder().build().await?;
    let counts: Counts = fexec.map_reduce(count_words, files, merge).await?.result().await?;

    let mut ranking: Vec<_> = counts.iter().collect();
    // The sort is stable and the map sorted, so that words of the same count stay in the order of the alphabet.
    ranking.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    println!("total {}", counts.values().sum::<u64>());
    println!("distinct {}", counts.len());
    for (word, count) in ranking.into_iter().take(10) {
        println!("{count} {word}");
    }
    Ok(())
}

#[lithops::function]
fn count_words(file: PathBuf) -> Result<Counts, String> {
    let bytes = fs::read(&file).map_err(|error| format!("cannot read `{}`: {error}", file.display()))?;
    let mut counts = Counts::new();
    for word in
        String::from_utf8_lossy(&bytes).split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
    {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    Ok(counts)
}

#[lithops::function]
fn merge(parts: Vec<Counts>) -> Counts {
    let mut total = Counts::new();
    for (word, count) in parts.into_iter().flatten() {
        *total.entry(word).or_default() += count;
    }
    total
}

/// Every regular file below `directory`, sorted; symbolic links are not followed.
fn text_files(directory: &Path) -> lithops::Result<Vec<PathBuf>> {
    let (mut files, mut unread) =
        (Vec::new(), vec![fs::canonicalize(directory).map_err(|e| unreadable(directory, e))?]);
    while let Some(directory) = unread.pop() {
        for entry in fs::read_dir(&directory).map_err(|error| unreadable(&directory, error))? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                unread.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

fn unreadable(directory: &Path, error: io::Error) -> lithops::Error {
    lithops::Error::new(
        lithops::ErrorKind::InvalidInput,
        format!("cannot read directory `{}`", directory.display()),
    )
    .with_hint(error.to_string())
    .with_source(error)
}

fn usage(problem: &str) -> lithops::Error {
    lithops::Error::new(lithops::ErrorKind::InvalidInput, problem).with_hint("name a directory of text files")
}
