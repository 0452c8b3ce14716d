//! The command line: what it prints, where, and with which exit code.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

#[test]
fn hello_greets_once_per_call_from_other_processes() {
    let said = lithops(&["hello", "-m", "12", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let greeted: Value = serde_json::from_str(&said.stdout).expect("JSON");
    let calls = greeted["calls"].as_array().expect("calls");
    assert_eq!(calls.len(), 12);
    for (number, call) in calls.iter().enumerate() {
        assert_eq!(call["greeting"], format!("Hello world, this is call {number}!"));
    }
    let processes: BTreeSet<_> = calls.iter().filter_map(|call| call["pid"].as_u64()).collect();
    let at_once = greeted["plan"]["worker_processes"].as_u64().expect("a number") as usize;
    assert!((1..=at_once).contains(&processes.len()), "{processes:?}");
}

#[test]
fn hello_prints_greetings_to_stdout_and_the_plan_to_stderr() {
    let said = lithops(&["hello"]);
    assert_eq!((said.code, said.stdout.lines().count()), (0, 4), "{said:?}");
    assert!(said.stdout.lines().all(|line| line.starts_with("Hello world")), "{said:?}");
    assert!(said.stderr.starts_with("4 calls: "), "{said:?}");
}

#[test]
fn the_plan_of_the_seed() {
    let workers = |arguments: &[&str]| {
        let said = lithops(&[&["plan", "--json"], arguments].concat());
        assert_eq!(said.code, 0, "{said:?}");
        let plan: Value = serde_json::from_str(&said.stdout).expect("JSON");
        plan["workers"].as_u64()
    };
    assert_eq!(workers(&["--tasks", "200", "--worker-processes", "4", "--chunksize", "8"]), Some(25));
    assert_eq!(workers(&["--tasks", "100", "--worker-processes", "4"]), Some(25));
    assert_eq!(workers(&["--tasks", "100", "--worker-processes", "1"]), Some(100));
}

#[test]
fn the_plan_follows_configuration_and_arguments() {
    let file = Config::new("localhost:\n  worker_processes: 3\n  max_workers: 2\nlithops:\n  chunksize: 6\n");
    let said = lithops(&["plan", "--tasks", "20", "--config", file.path()]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.stdout.starts_with("20 calls on `localhost`, worker_processes 3, chunksize 6\n"),
        "{said:?}"
    );
    assert!(said.stdout.contains("4, each is given 6 calls, the last one 2\n"), "{said:?}");
    assert!(said.stdout.contains("2 at once"), "{said:?}");
    let said = lithops(&["plan", "--tasks", "20", "--config", file.path(), "--chunksize", "20"]);
    assert!(said.stdout.contains("chunksize 20\n"), "{said:?}");
}

#[test]
fn wrong_granularity_is_refused_with_advice() {
    for option in ["--chunksize", "--worker-processes", "--max-workers"] {
        let said = lithops(&["plan", "--tasks", "20", option, "0"]);
        assert_eq!(said.code, 2, "{said:?}");
        let key = option.trim_start_matches('-').replace('-', "_");
        assert!(
            said.stderr.starts_with(&format!("error: `{key}` is 0: write a whole number from 1")),
            "{said:?}"
        );
        assert_eq!((said.stderr.lines().count(), said.stdout.as_str()), (1, ""), "{said:?}");
    }
}

#[test]
fn an_unknown_backend_or_storage_is_not_found() {
    for arguments in [["hello", "-b", "lokalhost"], ["hello", "-s", "lokalhost"]] {
        let said = lithops(&arguments);
        assert_eq!((said.code, said.stdout.as_str()), (3, ""), "{said:?}");
        assert!(said.stderr.contains("`lokalhost`: did you mean `localhost`?"), "{said:?}");
    }
    let said = lithops(&["plan", "--tasks", "1", "--backend", "aws_lambda"]);
    assert!(said.code == 3 && said.stderr.contains("enable feature `aws_lambda`"), "{said:?}");
}

#[test]
fn a_named_file_must_exist() {
    for arguments in [
        &["hello", "--config", "missing.yaml"][..],
        &["plan", "--tasks", "1", "--config", "missing.yaml"],
        &["config", "show", "--config", "missing.yaml"],
        &["config", "check", "--config", "missing.yaml"],
    ] {
        let said = lithops(arguments);
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{said:?}");
        assert!(said.stderr.contains("the configuration file `missing.yaml` does not exist"), "{said:?}");
    }
}

#[test]
fn a_misspelt_key_is_named_with_file_line_and_the_nearest_key() {
    let file = Config::new("lithops:\n  backend: localhost\n\nlocalhost:\n  worker_proceses: 2\n");
    let said = lithops(&["config", "check", "--config", file.path()]);
    assert_eq!(said.code, 2, "{said:?}");
    let place = format!(
        "`worker_proceses` in section `localhost` at {}:5: did you mean `worker_processes`?",
        file.path()
    );
    assert!(said.stdout.contains(&place), "{said:?}");
    // No job is started with it either.
    for arguments in [&["hello"][..], &["plan", "--tasks", "1"]] {
        let said = lithops(&[arguments, &["--config", file.path()]].concat());
        assert!(said.code == 2 && said.stdout.is_empty() && said.stderr.contains(&place), "{said:?}");
    }
}

#[test]
fn values_that_cannot_be_used_are_found_all_at_once() {
    let file =
        Config::new("lithops:\n  chunksize: -1\nlocalhost:\n  worker_processes: many\n  max_workers: 0\n");
    let said = lithops(&["config", "check", "--json", "--config", file.path()]);
    assert_eq!(said.code, 2, "{said:?}");
    let checked: Value = serde_json::from_str(&said.stdout).expect("JSON");
    let origins: BTreeSet<_> = checked["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .filter_map(|one| one["origin"].as_str())
        .collect();
    let expected: Vec<_> = [2, 4, 5].iter().map(|line| format!("{}:{line}", file.path())).collect();
    assert!(expected.iter().all(|origin| origins.contains(origin.as_str())), "{said:?}");
}

#[test]
fn notes_alone_are_no_error() {
    let file = Config::new("lithops:\n  backend: localhost\n  monitoring: storage\n");
    let said = lithops(&["config", "check", "--config", file.path()]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.starts_with("note: `monitoring` in section `lithops`"), "{said:?}");
}

#[test]
fn config_show_says_where_each_value_came_from_and_masks_credentials() {
    let file = Config::new("lithops:\n  storage: localhost\naws:\n  secret_access_key: hunter2\n");
    let said = lithops(&["config", "show", "--config", file.path()]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.contains(&format!("lithops.storage: localhost  # {}:2\n", file.path())), "{said:?}");
    assert!(said.stdout.contains("lithops.backend: localhost  # default\n"), "{said:?}");
    assert!(said.stdout.contains("aws.secret_access_key: ") && !said.stdout.contains("hunter2"), "{said:?}");
    let said = lithops(&["config", "show", "--json", "--config", file.path()]);
    let shown: Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert!(shown["found_in"] == file.path() && !said.stdout.contains("hunter2"), "{said:?}");
}

#[test]
fn backends_lists_what_is_built_in() {
    let said = lithops(&["backends", "--json"]);
    let listed: Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(listed[0]["name"], "localhost", "{said:?}");
    assert_eq!(listed[0]["package"], "lithops-backend-localhost", "{said:?}");
    assert_eq!((&listed[0]["granularity"], &listed[0]["feed"]), (&"local".into(), &true.into()), "{said:?}");
    assert!(lithops(&["backends"]).stdout.starts_with("localhost "), "{said:?}");
}

#[test]
fn verbose_tells_more_of_an_error() {
    let said = lithops(&["-v", "hello", "-b", "lokalhost"]);
    assert!(said.code == 3 && said.stderr.contains("(not found)\n  hint: "), "{said:?}");
}

#[test]
fn every_command_has_a_help_that_teaches() {
    for command in [&[][..], &["hello"], &["plan"], &["backends"], &["config"], &["config", "check"]] {
        let said = lithops(&[command, &["--help"]].concat());
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.stdout.contains("Usage: lithops"), "{said:?}");
    }
}

#[derive(Debug)]
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

/// Runs the program where no configuration of this machine is found.
fn lithops(arguments: &[&str]) -> Said {
    let empty = tempfile::tempdir().expect("a directory");
    let output = Command::new(env!("CARGO_BIN_EXE_lithops"))
        .args(arguments)
        .current_dir(&empty)
        .env("HOME", empty.path())
        .env_remove("LITHOPS_CONFIG")
        .env_remove("LITHOPS_CONFIG_FILE")
        .env_remove("LITHOPS_BACKEND")
        .env_remove("LITHOPS_STORAGE")
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// A configuration file of its own.
struct Config(tempfile::TempPath);

impl Config {
    fn new(yaml: &str) -> Self {
        let path = tempfile::NamedTempFile::new().expect("a file").into_temp_path();
        fs::write(&path, yaml).expect("a file");
        Self(path)
    }

    fn path(&self) -> &str {
        Path::to_str(&self.0).expect("text")
    }
}
