//! Data sources through the public API: objects, files and prefixes in parts, on this machine.

use std::{path::Path, process::Command, sync::LazyLock};

use lithops::{ErrorKind, prelude::*};

lithops::test_worker!();

/// Lines, and what each part says of itself.
#[lithops::function]
async fn look(obj: DataObject) -> Result<(String, usize, usize, u64), lithops::Error> {
    let lines = obj.bytes().await?.lines().count() as u64;
    Ok((obj.key().to_owned(), obj.part(), obj.total_parts(), lines))
}

/// The original's `grep`: the object comes with another argument, in any position.
#[lithops::function]
async fn grep(word: String, obj: DataObject, id: CallId) -> Result<(u64, u64), lithops::Error> {
    let mut found = 0;
    let mut lines = obj.lines();
    while let Some(line) = lines.next().await {
        found += u64::from(line?.contains(&word));
    }
    Ok((id.into(), found))
}

/// Words as `LC_ALL=C wc -w` counts them: between ASCII white space, with at least one printable ASCII character.
fn words_of(text: &[u8]) -> u64 {
    let space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    text.split(space).filter(|word| word.iter().any(u8::is_ascii_graphic)).count() as u64
}

#[lithops::function]
fn count_words(obj: DataObject) -> Result<u64, lithops::Error> {
    Ok(words_of(&obj.bytes_blocking()?))
}

#[lithops::function]
fn sum(counts: Vec<u64>) -> u64 {
    counts.into_iter().sum()
}

#[lithops::function]
fn fails_on_b(obj: DataObject) -> Result<u64, String> {
    if obj.key().ends_with('b') { Err("it is b".to_owned()) } else { Ok(1) }
}

#[lithops::function]
fn plain(x: u64) -> u64 {
    x
}

async fn executor(root: &Path) -> FunctionExecutor {
    let yaml = format!(
        "localhost: {{storage_root: '{}', storage_bucket: jobs, worker_processes: 2}}",
        root.display()
    );
    FunctionExecutor::builder().config_yaml(yaml).build().await.expect("it works")
}

#[tokio::test]
async fn a_prefix_is_read_in_parts_that_end_with_lines() {
    let root = tempfile::tempdir().unwrap();
    let fexec = executor(root.path()).await;
    let storage = fexec.storage();
    let text = |lines: usize| (0..lines).map(|line| format!("line {line}\n")).collect::<String>();
    for (key, lines) in [("logs/a", 100), ("logs/b", 0), ("logs/c/d", 3), ("other", 9)] {
        storage.put_object("data", key, text(lines)).await.unwrap();
    }
    let whole = fexec.map(look, DataSource::prefix("data/logs/")).await.unwrap().get_result().await.unwrap();
    let expected =
        [("logs/a", 100), ("logs/b", 0), ("logs/c/d", 3)].map(|(key, lines)| (key.to_owned(), 0, 1, lines));
    assert_eq!(whole, expected);

    let parts =
        fexec.map(look, DataSource::prefix("data/logs/")).obj_chunk_size(ByteSize::b(100)).await.unwrap();
    assert_eq!(parts.len(), 8 + 1 + 1, "790 bytes in parts of 100, an empty one, and 21 bytes");
    let parts = parts.get_result().await.unwrap();
    assert!(
        parts.is_sorted_by(|one, next| (&one.0, one.1) < (&next.0, next.1)),
        "in the order of objects and parts"
    );
    let lines = |key: &str| parts.iter().filter(|part| part.0 == key).map(|part| part.3).sum::<u64>();
    assert_eq!((lines("logs/a"), lines("logs/b"), lines("logs/c/d")), (100, 0, 3));

    let number =
        fexec.map(look, DataSource::objects(["data/logs/a"])).obj_chunk_number(4).plan().await.unwrap();
    assert_eq!(number.calls(), 4, "a plan finds the parts and starts nothing");
}

#[tokio::test]
async fn sources_of_several_kinds_are_one_and_nothing_is_dropped() {
    let root = tempfile::tempdir().unwrap();
    let fexec = executor(root.path()).await;
    for key in ["in/1.csv", "in/2.txt", "in/deep/3.csv"] {
        fexec.storage().put_object("data", key, "needle\nhay\nneedle").await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    std::fs::write(folder.path().join("sub/file"), "hay\nneedle\n").unwrap();
    std::fs::write(folder.path().join("z"), "").unwrap();
    let all = DataSource::glob("data/in/*.csv")
        .and(DataSource::glob("data/**/*.csv"))
        .and(DataSource::path(folder.path()))
        .and(DataSource::objects(["data/in/2.txt", "localhost://data/in/2.txt"]))
        .with("needle".to_owned());
    let found = fexec.map(grep, all).await.unwrap().get_result().await.unwrap();
    assert_eq!(found, [(0, 2), (1, 2), (2, 2), (3, 1), (4, 0), (5, 2), (6, 2)]);
}

#[tokio::test]
async fn one_reduction_per_object_has_the_values_of_that_object() {
    let root = tempfile::tempdir().unwrap();
    let fexec = executor(root.path()).await;
    for (key, words) in [("a", 50), ("b", 7), ("c", 0), ("d", 300)] {
        fexec.storage().put_object("data", key, "word\n".repeat(words)).await.unwrap();
    }
    let source = || DataSource::prefix("data/");
    let reduce = fexec.map_reduce(count_words, source(), sum).obj_chunk_size(ByteSize::b(64));
    assert_eq!(reduce.await.unwrap().result().await.unwrap(), 357);
    let by_key =
        fexec.map_reduce(count_words, source(), sum).obj_chunk_size(ByteSize::b(64)).obj_reduce_by_key();
    assert_eq!(by_key.await.unwrap().get_result().await.unwrap(), [50, 7, 0, 300]);

    // What fails takes only its own object's reduction with it.
    let outcomes =
        fexec.map_reduce(fails_on_b, source(), sum).obj_reduce_by_key().await.unwrap().outcomes().await;
    let outcomes = outcomes.unwrap();
    assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true, true]);
    assert!(outcomes[1].as_ref().unwrap_err().to_string().contains("it is b"), "{outcomes:?}");
}

#[tokio::test]
async fn compressed_objects_are_one_part_and_come_unpacked() {
    use async_compression::tokio::write::{GzipEncoder, ZstdEncoder};
    use tokio::io::AsyncWriteExt as _;

    let root = tempfile::tempdir().unwrap();
    let fexec = executor(root.path()).await;
    let text = "some words in a line\n".repeat(5000);
    let (mut gzip, mut zstd) = (GzipEncoder::new(Vec::new()), ZstdEncoder::new(Vec::new()));
    gzip.write_all(text.as_bytes()).await.unwrap();
    gzip.shutdown().await.unwrap();
    zstd.write_all(text.as_bytes()).await.unwrap();
    zstd.shutdown().await.unwrap();
    let twice = [gzip.get_ref().clone(), gzip.get_ref().clone()].concat();
    for (key, packed) in
        [("1.gz", gzip.into_inner()), ("2.zst", zstd.into_inner()), ("3.GZ", twice), ("4.gz", vec![1; 9])]
    {
        fexec.storage().put_object("data", key, packed).await.unwrap();
    }
    let parts = fexec.map(look, DataSource::prefix("data/")).obj_chunk_size(ByteSize::b(10)).await.unwrap();
    let outcomes = parts.outcomes().await.unwrap();
    let lines: Vec<_> =
        outcomes.iter().map(|outcome| outcome.as_ref().ok().map(|part| (part.2, part.3))).collect();
    assert_eq!(lines, [Some((1, 5000)), Some((1, 5000)), Some((1, 10_000)), None]);
    assert!(
        outcomes[3].as_ref().unwrap_err().to_string().contains("cannot unpack `data/4.gz`"),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_source_is_said_before_anything_runs() {
    let root = tempfile::tempdir().unwrap();
    let fexec = executor(root.path()).await;
    fexec.storage().put_object("data", "a", "x").await.unwrap();
    let source = |name: &str| DataSource::prefix(name.to_owned());
    let cases = [
        (
            source("data/none/"),
            ErrorKind::NotFound,
            "no object of storage `localhost` starts with `data/none/`",
        ),
        (DataSource::glob("data/*.csv"), ErrorKind::NotFound, "no object of storage `localhost` matches"),
        (DataSource::glob("data/[a"), ErrorKind::InvalidInput, "the pattern `[a` is wrong"),
        (
            DataSource::objects(["data/none"]),
            ErrorKind::NotFound,
            "there is no object `none` in bucket `data`",
        ),
        (DataSource::objects(["data"]), ErrorKind::InvalidInput, "`data` names no object"),
        (DataSource::objects(["/etc/hosts"]), ErrorKind::InvalidInput, "`/etc/hosts` names no bucket"),
        (DataSource::objects(["s3://b/k"]), ErrorKind::InvalidInput, "`s3://b/k` lies in another storage"),
        (DataSource::objects([""; 0]), ErrorKind::InvalidInput, "the data source names nothing"),
        (DataSource::path("/none"), ErrorKind::NotFound, "cannot look at `/none`"),
    ];
    for (source, kind, words) in cases {
        let error = fexec.map(look, source).await.unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(words), "{error:?}");
    }
    let both = fexec.map(look, source("data/")).obj_chunk_number(2).obj_chunk_size(ByteSize::kib(1)).await;
    assert!(both.unwrap_err().to_string().contains("both say"));
    let inputs = fexec.map(plain, 0..3).obj_chunk_number(2).await.unwrap_err().to_string();
    assert!(inputs.starts_with("`obj_chunk_number` is about objects"), "{inputs}");
    let values = fexec.map(look, [()]).await.unwrap_err().to_string();
    assert!(values.contains("takes a `DataObject`, and its inputs are no data source"), "{values}");
    let no_object = fexec.map(plain, source("data/").with(7)).await.unwrap_err().to_string();
    assert!(no_object.contains("takes no `DataObject`"), "{no_object}");
    let one = fexec.call_async(look, ()).await.unwrap_err().to_string();
    assert!(one.contains("and one call has none"), "{one}");
    let by_key = fexec.map_reduce(plain, 0..3, sum).obj_reduce_by_key().await.unwrap_err().to_string();
    assert!(by_key.starts_with("`obj_reduce_by_key` is about objects"), "{by_key}");
    let memory = FunctionExecutor::builder().storage("memory").build().await.unwrap();
    let unreachable = memory.map(look, source("data/")).await.unwrap_err();
    assert_eq!(unreachable.kind(), ErrorKind::Unsupported, "{unreachable}");
}

#[tokio::test]
async fn what_jobs_store_of_themselves_is_no_data() {
    let root = tempfile::tempdir().unwrap();
    let fexec = executor(root.path()).await;
    let storage = fexec.storage();
    for key in [
        "a",
        "team/lithops.jobs/1/record",
        "lithops.jobs/1/record",
        "lithops.history/p/f/localhost-0",
        "lithops.fleets/f/jobs/1",
        "lithops.programs/0123.zst",
        "lithops.programs/0123.zip",
        "lithops.clock/1",
    ] {
        storage.put_object(storage.bucket(), key, "one word").await.unwrap();
    }
    for source in [DataSource::prefix("jobs/"), DataSource::glob("jobs/**")] {
        let count = fexec.map_reduce(count_words, source, sum).await.unwrap();
        assert_eq!(count.result().await.unwrap(), 2);
    }
    let named = fexec.map_reduce(count_words, DataSource::prefix("jobs/lithops.jobs/"), sum).await.unwrap();
    assert_eq!(named.result().await.unwrap(), 2, "who names it gets it");
}

#[tokio::test]
async fn an_object_that_is_changed_meanwhile_is_not_mixed_up() {
    let root = tempfile::tempdir().unwrap();
    let fexec = executor(root.path()).await;
    fexec.storage().put_object("data", "a", "one\ntwo\n").await.unwrap();
    let map = fexec.map(change_and_look, DataSource::objects(["data/a"])).await.unwrap();
    let error = map.get_result().await.unwrap_err().to_string();
    assert!(error.contains("`data/a` was changed after the job was started"), "{error}");
}

#[lithops::function]
async fn change_and_look(obj: DataObject, storage: StorageClient) -> Result<usize, lithops::Error> {
    storage.put_object(obj.bucket(), obj.key(), "one\ntwo\nthree\n").await?;
    Ok(obj.bytes().await?.len())
}

/// Real text of many sorts: the sources of the crates that this one is built from.
static SOURCES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let home = std::env::var_os("CARGO_HOME").map_or_else(
        || Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".cargo"),
        |home| Path::new(&home).to_owned(),
    );
    let mut folders = vec![home.join("registry/src")];
    let mut texts = Vec::new();
    let mut bytes = 0;
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().flatten().collect();
        entries.sort_by_key(std::fs::DirEntry::path);
        for entry in entries {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if bytes < 12 << 20 && texts.len() < 400 {
                let text = std::fs::read(entry.path()).expect("it works");
                bytes += text.len();
                texts.push(text);
            }
        }
    }
    assert!(texts.len() > 100, "there is hardly a source in the folder of cargo");
    texts
});

#[tokio::test(flavor = "multi_thread")]
async fn words_of_real_text_are_those_that_wc_counts() {
    let root = tempfile::tempdir().unwrap();
    let fexec = executor(root.path()).await;
    let folder = root.path().join("text");
    std::fs::create_dir(&folder).unwrap();
    for (number, text) in SOURCES.iter().enumerate() {
        std::fs::write(folder.join(format!("{number:04}")), text).unwrap();
    }
    // Files are counted one by one: the last word of one and the first of the next are two.
    let each = "total=0; for f in *; do total=$((total + $(wc -w < $f))); done; echo $total";
    let each =
        Command::new("sh").args(["-c", each]).current_dir(&folder).env("LC_ALL", "C").output().unwrap();
    let expected: u64 = String::from_utf8(each.stdout).unwrap().trim().parse().unwrap();
    assert!(expected > 100_000, "{expected}");
    assert_eq!(SOURCES.iter().map(|text| words_of(text)).sum::<u64>(), expected, "the second count");
    for size in [ByteSize::b(777), ByteSize::kib(5), ByteSize::kib(64), ByteSize::mib(1), ByteSize::gib(1)] {
        let count = fexec.map_reduce(count_words, DataSource::prefix("text/"), sum).obj_chunk_size(size);
        assert_eq!(count.await.unwrap().result().await.unwrap(), expected, "in parts of {size}");
    }
    let files = fexec.map_reduce(count_words, DataSource::path(&folder), sum).obj_chunk_number(3);
    assert_eq!(files.await.unwrap().result().await.unwrap(), expected, "as files");
}
