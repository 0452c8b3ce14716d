//! Which input failed, and the repetition of failed calls: `source()`, `failed()`, `retry_failed()`, and the
//! maps of a `map_reduce`.

#![expect(clippy::disallowed_methods, reason = "some calls end their process")]

use std::{fs, path::Path};

use lithops::{CallSource, prelude::*};

lithops::test_worker!();

/// The number of lines of a part, unless a file `broken` lies beside the parts and the part has the word `bad`.
#[lithops::function]
async fn lines(object: DataObject, flag: String) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    let text = String::from_utf8(object.bytes().await?.to_vec())?;
    if Path::new(&flag).exists() && text.contains("bad") {
        return Err("a bad line".into());
    }
    Ok(text.lines().count() as u64)
}

#[lithops::function]
fn sum(counts: Vec<u64>) -> u64 {
    counts.iter().sum()
}

/// Twice the number; numbers from 10 on crash their process until a file is gone.
#[lithops::function]
fn twice(number: u64, (flag, word): (String, String)) -> Result<u64, String> {
    if Path::new(&flag).exists() && number >= 10 {
        if number.is_multiple_of(2) {
            std::process::exit(3);
        }
        return Err(word);
    }
    Ok(number * 2)
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("broken"), "").expect("a file");
        Self { folder }
    }

    fn flag(&self) -> String {
        self.folder.path().join("broken").display().to_string()
    }

    fn mend(&self) {
        fs::remove_file(self.flag()).expect("it was there");
    }

    /// Three files of 40 lines; the last line of the second says `bad`.
    fn texts(&self) -> DataSource {
        let texts = self.folder.path().join("texts");
        fs::create_dir(&texts).expect("a folder");
        for name in ["a", "b", "c"] {
            let last = if name == "b" { "bad line" } else { "good one" };
            fs::write(texts.join(name), "a line..\n".repeat(39) + last + "\n").expect("a file");
        }
        DataSource::path(texts)
    }
}

async fn executor() -> FunctionExecutor {
    FunctionExecutor::builder().worker_processes(2).build().await.expect("an executor")
}

#[tokio::test]
async fn a_failed_part_of_an_object_is_named_and_repeated() {
    let (place, fexec) = (Place::new(), executor().await);
    let texts = place.texts().with(place.flag());
    let futures = fexec.map(lines, texts).obj_chunk_number(4).await.expect("a job");
    let error = futures.get_result().await.expect_err("a bad line");
    assert!(format!("{error:?}").contains("input: part 4 of 4 of `"), "{error:?}");
    let failed = futures.failed();
    let [failed] = failed.as_slice() else { panic!("{failed:?}") };
    let CallSource::Object { name, part: 3, parts: 4 } = failed.source() else {
        panic!("{:?}", failed.source())
    };
    assert!(name.ends_with("texts/b"), "{name}");

    place.mend();
    let again = futures.retry_failed().await.expect("a job");
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].source(), failed.source(), "of the first job's call");
    assert_eq!(again.get_result().await.expect("mended"), [10]);
    assert!(again.retry_failed().await.expect("a job").get_result().await.expect("nothing").is_empty());
}

#[tokio::test]
async fn failed_inputs_are_repeated_alone_and_as_often_as_one_likes() {
    let (place, fexec) = (Place::new(), executor().await);
    let inputs: Vec<_> = (0..20).map(|number| (number, (place.flag(), "not yet".to_owned()))).collect();
    let futures = fexec.map(twice, inputs).chunksize(4).await.expect("a job");
    assert!(futures.get_result().await.is_err());
    let sources = |futures: &FuturesList<_>| -> Vec<String> {
        futures.failed().iter().map(|future| future.source().to_string()).collect()
    };
    let expected: Vec<_> = (10..20).map(|number| format!("input {number}")).collect();
    assert_eq!(sources(&futures), expected);
    let again = futures.retry_failed().await.expect("a job");
    let error = again.get_result().await.expect_err("still broken");
    assert!(format!("{error:?}").contains("input: input 10"), "{error:?}");
    assert_eq!(sources(&again), expected, "the numbers of the first job");
    place.mend();
    let last = again.retry_failed().await.expect("a job");
    assert_eq!(last.get_result().await.expect("mended"), (10..20).map(|n| n * 2).collect::<Vec<u64>>());
    drop(fexec);
    let error = futures.retry_failed().await.expect_err("the executor is gone");
    assert!(error.to_string().contains("executor of the job was dropped"), "{error}");
}

#[tokio::test]
async fn failed_calls_of_a_stored_job_are_repeated_by_whoever_attaches() {
    let (place, folder) = (Place::new(), tempfile::tempdir().expect("a folder"));
    let root = folder.path().to_str().expect("UTF-8");
    let executor = || async {
        FunctionExecutor::builder().set("storage_root", root).build().await.expect("an executor")
    };
    let fexec = executor().await;
    let inputs: Vec<_> = (0..12).map(|number| (number, (place.flag(), "not yet".to_owned()))).collect();
    let futures = fexec.map(twice, inputs).detach().await.expect("a job");
    assert!(futures.get_result().await.is_err());
    let other = executor().await;
    let attached: FuturesList<Result<u64, String>> = other.attach(futures.job_id()).await.expect("a job");
    assert_eq!(attached.outcomes().await.expect("outcomes").iter().filter(|one| one.is_err()).count(), 2);
    place.mend();
    for futures in [futures, attached] {
        let again = futures.retry_failed().await.expect("a job");
        assert_eq!(again.get_result().await.expect("mended"), [20, 22]);
        assert_eq!(again[1].source(), CallSource::Input(11));
    }
}

#[tokio::test]
async fn a_map_reduce_gives_its_maps() {
    let (place, fexec) = (Place::new(), executor().await);
    let total = fexec.map_reduce(lines, place.texts().with(place.flag()), sum).await.expect("a job");
    let error = total.result().await.expect_err("a bad line");
    assert!(error.to_string().contains("a bad line"), "{error}");
    let maps = total.maps::<u64>().expect("the maps");
    let counts = maps.outcomes().await.expect("outcomes");
    assert_eq!(counts.iter().filter_map(|count| count.as_ref().ok()).collect::<Vec<_>>(), [&40, &40]);
    place.mend();
    assert_eq!(maps.retry_failed().await.expect("a job").get_result().await.expect("mended"), [40]);
    assert!(maps.maps::<u64>().is_none(), "a map has none");
}

#[tokio::test]
async fn what_programs_read_has_its_units_in_its_names() {
    let fexec = executor().await;
    let mut events = fexec.events();
    let futures = fexec.map(|number: u64| number + 1, 0..3).await.expect("a job");
    futures.get_result().await.expect("values");
    let stats = serde_json::to_value(futures[1].stats().expect("it has ended")).expect("JSON");
    let names: Vec<_> = stats.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "attempt",
            "batch",
            "bytes",
            "call",
            "cpu_seconds",
            "ended_unix_seconds",
            "peak_memory_bytes",
            "pid",
            "queued_unix_seconds",
            "started_unix_seconds"
        ]
    );
    assert!(stats["started_unix_seconds"].as_f64().is_some_and(|seconds| seconds > 1.7e9), "{stats}");
    let summary = serde_json::to_value(futures.summary()).expect("JSON");
    for name in ["makespan_seconds", "run_time_seconds", "cpu_time_seconds", "billed_seconds", "cost_usd"] {
        assert!(summary[name].is_number(), "{name} in {summary}");
    }
    let plan = serde_json::to_value(futures.plan()).expect("JSON");
    assert_eq!(plan["calls"], 3, "{plan}");
    let event = serde_json::to_value(events.next().await.expect("an event")).expect("JSON");
    assert_eq!(event["event"], "started", "{event}");
}
