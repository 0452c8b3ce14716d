//! The command line.

use std::collections::BTreeSet;

use super::program::{Programs, Trial};

pub(super) const TRIALS: &[(&str, Trial)] = &[
    ("hello greets once per call, from sub-workers", hello),
    ("the plans of the seed", plans),
    ("a misspelt key starts nothing", misspelt_key),
    ("an unknown backend is not found", unknown_backend),
    ("a named file must exist", missing_file),
    ("backends and configuration are listed", listings),
    ("what does not fit on the disk is said, and not half there", full_disk),
];

/// A file that may not grow stands for a disk that is full.
fn full_disk(programs: &Programs) -> Result<(), String> {
    programs.write("disk.yaml", b"localhost: {storage_root: disk, storage_bucket: b}\n")?;
    programs.write("large.bin", &[7; 4 << 20])?;
    let lithops = programs.built().join("lithops");
    let put = format!(
        "trap '' XFSZ; ulimit -f 1000; exec '{}' storage put large.bin b --config disk.yaml",
        lithops.display()
    );
    programs.shell(&put)?.ends_with(1)?.refuses("cannot store object `large.bin` in bucket `b`")?;
    let left = programs.shell("find disk -type f")?;
    left.ends_with(0)?.wants("nothing half-written", left.stdout.is_empty())?;
    programs.lithops(&["storage", "put", "large.bin", "b", "--config", "disk.yaml"])?.ends_with(0)?;
    Ok(())
}

fn hello(programs: &Programs) -> Result<(), String> {
    programs.write("four.yaml", b"localhost:\n  worker_processes: 4\n")?;
    let said = programs.lithops(&["hello", "-m", "40", "--config", "four.yaml", "--json"])?;
    let greeted = said.json()?;
    let calls = greeted["calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    let processes: BTreeSet<_> = calls.iter().filter_map(|call| call["pid"].as_u64()).collect();
    said.wants("40 greetings", calls.len() == 40)?
        .wants(
            "a greeting in each",
            calls.iter().all(|call| call["greeting"].as_str().is_some_and(|it| it.contains("Hello"))),
        )?
        .wants("a pid in each", calls.iter().all(|call| call["pid"].is_u64()))?
        .wants("at most 4 processes", (1..=4).contains(&processes.len()))?
        .wants(
            "the plan on stderr",
            said.stderr.starts_with("40 calls: 10 chunks of 4, fed to 1 worker x 4 sub-workers"),
        )?;
    let said = programs.lithops(&["hello"])?;
    said.ends_with(0)?.wants(
        "4 greetings on stdout",
        said.stdout.lines().filter(|line| line.contains("Hello")).count() == 4,
    )?;
    Ok(())
}

fn plans(programs: &Programs) -> Result<(), String> {
    for (options, workers) in [
        (&["--tasks", "200", "--worker-processes", "4", "--chunksize", "8"][..], 25),
        (&["--tasks", "100", "--worker-processes", "4"], 25),
        (&["--tasks", "100", "--worker-processes", "1"], 100),
    ] {
        let said = programs.lithops(&[&["plan", "--json"], options].concat())?;
        said.wants(&format!("{workers} workers"), said.json()?["workers"] == workers)?;
    }
    for option in ["--chunksize", "--worker-processes", "--max-workers"] {
        programs
            .lithops(&["plan", "--tasks", "9", option, "0"])?
            .ends_with(2)?
            .refuses("is 0: write a whole number from 1")?;
    }
    Ok(())
}

fn misspelt_key(programs: &Programs) -> Result<(), String> {
    programs.write("misspelt.yaml", b"lithops:\n  backend: localhost\nlocalhost:\n  worker_proceses: 4\n")?;
    let place =
        "`worker_proceses` in section `localhost` at misspelt.yaml:4: did you mean `worker_processes`?";
    let said = programs.lithops(&["config", "check", "--config", "misspelt.yaml"])?;
    said.ends_with(2)?.wants("file, line and the nearest key", said.stdout.contains(place))?;
    programs.lithops(&["hello", "--config", "misspelt.yaml"])?.ends_with(2)?.refuses(place)?;
    Ok(())
}

fn unknown_backend(programs: &Programs) -> Result<(), String> {
    programs.lithops(&["hello", "-b", "lokalhost"])?.ends_with(3)?.refuses("did you mean `localhost`?")?;
    Ok(())
}

fn missing_file(programs: &Programs) -> Result<(), String> {
    for command in [&["hello"][..], &["plan", "--tasks", "1"], &["config", "show"], &["config", "check"]] {
        let said = programs.lithops(&[command, &["--config", "missing.yaml"]].concat())?;
        said.ends_with(2)?.refuses("`missing.yaml` does not exist")?;
    }
    Ok(())
}

fn listings(programs: &Programs) -> Result<(), String> {
    let said = programs.lithops(&["backends", "--json"])?;
    said.wants("localhost first", said.json()?[0]["name"] == "localhost")?;
    let said = programs.lithops(&["config", "show", "--json"])?;
    let shown = said.json()?;
    let is_default = |value: &serde_json::Value| value["key"] == "backend" && value["origin"] == "default";
    said.wants(
        "the default backend",
        shown["values"].as_array().is_some_and(|values| values.iter().any(is_default)),
    )?;
    Ok(())
}
