//! Programs on Cloud Run: the same programs as on this machine, with another configuration.

use crate::e2e::{
    peers::{SECRET, Server},
    program::Programs,
    storage::words,
};

type Trial = fn(&Programs, &Server) -> Result<(), String>;

pub(super) const TRIALS: &[(&str, Trial)] = &[
    ("the program of the seed runs with only the configuration changed", seed),
    ("each failure is told", failures),
    ("words of real text are those that wc counts", words),
    ("what is deployed again is not uploaded or changed", again),
    ("the doctor finds nothing wrong, and says what is", doctor),
];

/// The configuration, with more in the section `gcp_cloudrun`.
fn config(programs: &Programs, server: &Server, more: &str) -> Result<(), String> {
    programs.write("config.yaml", server.yaml.replace("MORE", more).as_bytes()).map(drop)
}

fn seed(programs: &Programs, server: &Server) -> Result<(), String> {
    config(programs, server, "")?;
    let said = programs.example_with("granularity", &[], "config.yaml")?;
    let expected: Vec<i64> = (7..207).collect();
    said.ends_with(0)?.wants("the results", said.stdout == format!("{expected:?}\n"))?;
    said.wants("the plan", said.stderr.contains("200 calls: 25 workers x 4 sub-workers, chunks of 8"))?;
    Ok(())
}

fn failures(programs: &Programs, server: &Server) -> Result<(), String> {
    config(programs, server, ", max_workers: 1")?;
    let said = programs.example_with("failures", &[], "config.yaml")?;
    said.ends_with(0)?;
    for line in [
        "return: return is fine\n",
        "err: call 1 of `failures::misbehave` failed: invalid digit found in string, tried 1 times",
        "panic: call 2 of `failures::misbehave` panicked: this call panics, examples/failures.rs",
        "exit: call 3 of `failures::misbehave` crashed: its sub-worker exited with code 3, tried 1 times",
        "abort: call 4 of `failures::misbehave` crashed: its sub-worker died of SIGABRT",
        "kill: call 5 of `failures::misbehave` crashed: its sub-worker was killed from outside by SIGKILL (signal 9), tried 4 times",
        "hang: call 6 of `failures::misbehave` timed out: it ran longer than its timeout of 1s, tried 1 times",
        "print: print is fine\nit printed: a line of output\n",
    ] {
        said.wants(line, said.stdout.contains(line))?;
    }
    Ok(())
}

fn again(programs: &Programs, server: &Server) -> Result<(), String> {
    config(programs, server, "")?;
    let program = programs.built().join("examples/granularity").display().to_string();
    let runtime = |arguments: &[&str]| {
        let rest = ["--backend", "gcp_cloudrun", "--config", "config.yaml"];
        programs.lithops(&[&["runtime"], arguments, &rest].concat())
    };
    let first = runtime(&["deploy", "--worker", &program])?;
    first.ends_with(0)?.wants("a service", first.stdout.contains("lithops-"))?;
    let counts = server.get("/counts");
    let second = runtime(&["deploy", "--worker", &program])?;
    second.ends_with(0)?.wants("the same twice", first.stdout == second.stdout)?;
    second.wants(&format!("the counts {counts}"), server.get("/counts") == counts)?;
    let none = runtime(&["deploy"])?;
    none.ends_with(2)?.refuses("the program that is to be in the image is not named")?;
    let gone = runtime(&["delete", "--all"])?;
    gone.ends_with(0)?;
    Ok(())
}

fn doctor(programs: &Programs, server: &Server) -> Result<(), String> {
    config(programs, server, "")?;
    let said = programs.lithops(&["doctor", "--config", "config.yaml"])?;
    for finding in [
        "the project is lithops-test, the region is us-east1",
        "requests are made as the service account `lithops@lithops-test.iam.gserviceaccount.com`",
        "instances run as lithops@lithops-test.iam.gserviceaccount.com",
        "all permissions that are needed in the project are there",
        "ID tokens can be made",
        "the quotas of us-east1 are enough for 100 instances",
    ] {
        said.wants(finding, said.stdout.contains(finding))?;
    }
    said.wants("no secret", !said.stdout.contains(SECRET) && !said.stderr.contains(SECRET))?;
    config(programs, server, &format!(", max_workers: 151, env_vars: {{API_KEY: {SECRET}}}"))?;
    let said = programs.lithops(&["doctor", "--config", "config.yaml"])?;
    for finding in ["gives the project 150 vCPUs, which is 150 instances", "`env_vars` has API_KEY"] {
        said.wants(finding, said.stdout.contains(finding))?;
    }
    said.wants("no secret", !said.stdout.contains(SECRET) && !said.stderr.contains(SECRET))?;
    Ok(())
}
