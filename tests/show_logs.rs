//! What calls print is shown while they run, where that was asked for.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what calls print is what this is about")]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

lithops::test_worker!();

const PART: &str = "LITHOPS_TEST_SHOW_LOGS";

/// Prints, and then waits until the test has read it and makes a file.
#[lithops::function]
fn talk(number: u64, folder: String) -> u64 {
    println!("{number} begins");
    while !Path::new(&folder).join(number.to_string()).exists() {
        thread::sleep(Duration::from_millis(1));
    }
    eprintln!("{number} goes on");
    print!("{number} ends");
    number
}

/// The client of the tests below, in a process of its own; in an ordinary run it has nothing to do.
#[test]
fn the_client_in_a_process_of_its_own() {
    let Ok(part) = std::env::var(PART) else { return };
    let (how, folder) = part.split_once(' ').expect("two words");
    let fexec = lithops::blocking::FunctionExecutor::builder()
        .worker_processes(2)
        .set("storage_root", folder)
        .show_logs(how == "executor" || how == "durable")
        .build()
        .expect("an executor");
    let inputs = (0..4u64).map(|number| (number, folder.to_owned())).collect::<Vec<_>>();
    let map = fexec.map(talk, inputs);
    let map = match how {
        "job" => map.show_logs(true),
        "hidden" => map.show_logs(false),
        "durable" => map.detach(),
        _ => map,
    };
    let map = if how == "kept" { map.durable() } else { map };
    let futures = map.run().expect("a job");
    if how == "kept" {
        println!("job {}", futures.job_id());
    }
    assert_eq!(futures.get_result().expect("values"), [0, 1, 2, 3]);
    println!("job {}", futures.job_id());
}

fn client(how: &str, folder: &Path) -> Command {
    let mut client = Command::new(std::env::current_exe().expect("this program"));
    client
        .args(["the_client_in_a_process_of_its_own", "--exact", "--nocapture", "--quiet"])
        .env(PART, format!("{how} {}", folder.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    client
}

/// Runs a client whose calls go on only when the line that they have begun was read.
fn shown(how: &str, folder: &Path) -> Vec<String> {
    let mut child = client(how, folder).stderr(Stdio::piped()).spawn().expect("it starts");
    let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines().map(|line| line.expect("text"));
    let mut shown = Vec::new();
    for line in lines.filter(|line| line.starts_with("[call ")) {
        if let Some(number) = line.strip_suffix(" begins").and_then(|line| line.rsplit(' ').next()) {
            fs::write(folder.join(number), "").expect("a file");
        }
        shown.push(line);
    }
    assert!(child.wait().expect("it ends").success());
    shown
}

#[test]
fn a_line_is_shown_while_its_call_runs() {
    for how in ["executor", "job", "durable"] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut shown = shown(how, folder.path());
        for number in 0..4 {
            let of_call: Vec<_> =
                shown.extract_if(.., |line| line.starts_with(&format!("[call {number}, worker "))).collect();
            let words: Vec<_> =
                of_call.iter().filter_map(|line| line.split_once("] ")).map(|(_, words)| words).collect();
            let expected = ["begins", "goes on", "ends"].map(|word| format!("{number} {word}"));
            assert_eq!(words, expected, "{how}: {of_call:?}");
        }
        assert!(shown.is_empty(), "{shown:?}");
    }
}

#[test]
fn nothing_is_shown_where_nobody_asked() {
    for how in ["plain", "hidden"] {
        let folder = tempfile::tempdir().expect("a folder");
        (0..4).for_each(|number| fs::write(folder.path().join(number.to_string()), "").expect("a file"));
        let output = client(how, folder.path()).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("goes on"), "{said}");
    }
}

#[test]
fn the_command_shows_the_output_of_a_stored_job() {
    let folder = tempfile::tempdir().expect("a folder");
    (0..4).for_each(|number| fs::write(folder.path().join(number.to_string()), "").expect("a file"));
    let output = client("durable", folder.path()).stdout(Stdio::piped()).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let job = said.split("job ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a job");
    let configuration = folder.path().join("lithops.yaml");
    let yaml = format!("localhost:\n  storage_root: '{}'\n", folder.path().display());
    fs::write(&configuration, yaml).expect("a file");
    let logs = |options: &[&str]| {
        let command = Command::new(env!("CARGO_BIN_EXE_lithops"))
            .args(["logs", job, "--config"])
            .arg(&configuration)
            .args(options)
            .output();
        let output = command.expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    for options in [&[][..], &["--follow"]] {
        let printed = logs(options);
        assert_eq!(printed.lines().count(), 12, "{printed}");
        for line in ["[call 0] 0 begins", "[call 2] 2 goes on", "[call 3] 3 ends"] {
            assert!(printed.lines().any(|printed| printed == line), "{line} in {printed}");
        }
    }
    let of_one = logs(&["--call", "2"]);
    assert_eq!(of_one, "2 begins\n2 goes on\n2 ends");
}

/// What a job has stored is removed with its last handle, while the command still reads it.
#[test]
fn a_command_that_follows_a_job_sees_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = client("kept", folder.path()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut lines =
        BufReader::new(child.stdout.take().expect("a pipe")).lines().map(|line| line.expect("text"));
    let job = lines.find_map(|line| line.split("job ").nth(1).map(str::to_owned)).expect("a job");
    let configuration = folder.path().join("lithops.yaml");
    fs::write(&configuration, format!("localhost:\n  storage_root: '{}'\n", folder.path().display()))
        .expect("a file");
    let command = Command::new(env!("CARGO_BIN_EXE_lithops"))
        .args(["logs", job.trim(), "--follow", "--config"])
        .arg(&configuration)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    // The calls go on as soon as the command has left its mark that it reads the job.
    let readers = folder.path().join("storage/lithops.jobs").join(job.trim()).join("reader");
    while fs::read_dir(&readers).map_or(0, Iterator::count) == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    (0..4).for_each(|number| fs::write(folder.path().join(number.to_string()), "").expect("a file"));
    let output = command.wait_with_output().expect("it ends");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.lines().count() == 12, "{output:?}");
    assert!(child.wait().expect("it ends").success());
    assert!(!readers.parent().expect("the job's folder").exists(), "the last reader has removed it");
}
