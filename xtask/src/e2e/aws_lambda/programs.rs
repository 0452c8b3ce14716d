//! Programs on Lambda: the same programs as on this machine, with another configuration.

use crate::e2e::{
    peers::{BUCKET, SECRET, Server},
    program::Programs,
    storage::words,
};

type Trial = fn(&Programs, &Server) -> Result<(), String>;

pub(super) const TRIALS: &[(&str, Trial)] = &[
    ("the program of the seed runs with only the configuration changed", seed),
    ("another program runs in the same instances, and each failure is told", failures),
    ("words of real text are those that wc counts", words),
    ("the doctor finds nothing wrong, and says what is", doctor),
    ("runtimes come and go", runtimes),
    ("mistakes are one line each", mistakes),
    ("nothing but programs is left in the bucket, and no secret", leavings),
];

/// The configuration, with more in the section `aws_lambda`.
pub(in crate::e2e) fn config(server: &Server, more: &str) -> String {
    server.lambda_yaml(more)
}

fn seed(programs: &Programs, server: &Server) -> Result<(), String> {
    programs.write("config.yaml", config(server, "").as_bytes())?;
    let said = programs.example_with("granularity", &[], "config.yaml")?;
    let expected: Vec<i64> = (7..207).collect();
    said.ends_with(0)?.wants("the results", said.stdout == format!("{expected:?}\n"))?;
    said.wants("the plan", said.stderr.contains("200 calls: 25 workers x 4 sub-workers, chunks of 8"))?;
    Ok(())
}

/// One instance, which has run another program before.
fn failures(programs: &Programs, server: &Server) -> Result<(), String> {
    programs.write("config.yaml", config(server, ", max_workers: 1").as_bytes())?;
    for _ in 0..2 {
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
        let other = programs.example_with("granularity", &[], "config.yaml")?;
        other.ends_with(0)?.wants("the results", other.stdout.contains("205, 206]"))?;
    }
    Ok(())
}

fn doctor(programs: &Programs, server: &Server) -> Result<(), String> {
    programs.write("config.yaml", config(server, ", max_workers: 100").as_bytes())?;
    let said = programs.lithops(&["doctor", "--config", "config.yaml"])?;
    said.ends_with(0)?;
    for finding in [
        "lithops-worker` is what is deployed",
        "for x86_64 with glibc 2.",
        "the credentials are of account",
        "functions run as arn:aws:iam::",
        "the account may have",
        "can be read",
        "\"lambda:InvokeFunction\"",
        "\"logs:PutLogEvents\"",
    ] {
        said.wants(finding, said.stdout.contains(finding))?;
    }
    said.wants("no secret", !said.stdout.contains(SECRET) && !said.stderr.contains(SECRET))?;
    let wrong = config(server, ", max_workers: 100000").replace("execution_role", "namespace: x, runtime");
    let wrong =
        wrong.replace("'arn:aws:iam::000000000000:role/lithops'", "y").replace(BUCKET, "no-such-bucket");
    programs.write("wrong.yaml", wrong.as_bytes())?;
    let said = programs.lithops(&["doctor", "--config", "wrong.yaml"])?;
    said.ends_with(1)?;
    for finding in ["`execution_role` is missing", "ask AWS for a higher quota", "no-such-bucket"] {
        said.wants(finding, said.stdout.contains(finding))?;
    }
    Ok(())
}

pub(super) fn runtimes(programs: &Programs, server: &Server) -> Result<(), String> {
    programs.write("config.yaml", config(server, ", namespace: e2e").as_bytes())?;
    let runtime = |arguments: &[&str]| {
        programs.lithops(
            &[&["runtime"], arguments, &["--backend", "aws_lambda", "--config", "config.yaml"]].concat(),
        )
    };
    let built = runtime(&["build"])?;
    let path = built.ends_with(0)?.stdout.split("  ").next().unwrap_or_default().to_owned();
    built.wants("a zip", std::fs::metadata(&path).is_ok_and(|zip| zip.len() > 1 << 20))?;
    std::fs::remove_file(path).map_err(|error| error.to_string())?;
    let deployed = runtime(&["deploy"])?;
    let again = runtime(&["deploy"])?;
    deployed.ends_with(0)?.wants("the same twice", deployed.stdout == again.stdout)?;
    let large = runtime(&["deploy", "big", "--memory", "1769"])?;
    large.ends_with(0)?.wants("its memory", large.stdout.trim().ends_with("1769 MB"))?;
    let listed = runtime(&["list", "--json"])?.json()?;
    if listed.as_array().map(Vec::len) != Some(2) {
        return Err(format!("two runtimes were deployed, and listed are {listed}"));
    }
    let updated = runtime(&["update", "big", "--memory", "256"])?;
    updated
        .ends_with(0)?
        .wants("the older one deleted", updated.stderr.contains("deleted lithops-e2e-0-1-0-256"))?;
    runtime(&["delete", "nothing"])?.ends_with(3)?.refuses("cannot delete the function `nothing`")?;
    let gone = runtime(&["delete", "--all"])?;
    gone.ends_with(0)?.wants("two gone", gone.stdout.lines().count() == 2)?;
    let listed = runtime(&["list"])?;
    listed
        .ends_with(0)?
        .wants("nothing", listed.stdout.is_empty() && listed.stderr.contains("nothing is deployed"))?;
    Ok(())
}

fn mistakes(programs: &Programs, server: &Server) -> Result<(), String> {
    let granularity = |yaml: String| {
        programs.write("wrong.yaml", yaml.as_bytes())?;
        programs.example_with("granularity", &[], "wrong.yaml")
    };
    for (from, to, code, words) in [
        ("execution_role", "runtime_timeout: 901, execution_role", 1, "write at most 900"),
        ("execution_role", "runtime_memory: 100, execution_role", 1, "128 to 10240"),
        ("execution_role", "executionrole", 1, "`executionrole`"),
        ("'arn:aws:iam::000000000000:role/lithops'", "lithops", 1, "no ARN of a role"),
        (
            "lithops: {backend",
            "lithops: {storage: localhost, backend",
            1,
            "nothing that opens the storage `localhost`",
        ),
        (&format!("storage_bucket: {BUCKET}, "), "", 1, "`storage_bucket` is missing"),
        (BUCKET, "no-such-bucket", 1, "no-such-bucket"),
    ] {
        let said = granularity(config(server, "").replacen(from, to, 1))?;
        said.ends_with(code)?;
        said.wants(words, said.stderr.contains(words))?;
    }
    Ok(())
}

/// Stored programs stay for the next job; the data of jobs are removed with the jobs.
fn leavings(programs: &Programs, server: &Server) -> Result<(), String> {
    programs.write("config.yaml", config(server, "").as_bytes())?;
    let said = programs.lithops(&["storage", "list", BUCKET, "--json", "--config", "config.yaml"])?;
    let listed = said.json()?;
    let keys: Vec<_> =
        listed.as_array().into_iter().flatten().filter_map(|object| object["key"].as_str()).collect();
    let is_known = |key: &&str| key.starts_with("lithops.programs/") || key.starts_with("lithops.history/");
    if keys.len() < 3 || !keys.iter().all(is_known) {
        return Err(format!("there are {keys:?}"));
    }
    let log = server.log.as_ref().map(std::fs::read).transpose().map_err(|error| error.to_string())?;
    let log = String::from_utf8_lossy(&log.unwrap_or_default()).into_owned();
    if log.contains(SECRET) {
        return Err("the secret stands in the log of the service".to_owned());
    }
    Ok(())
}
