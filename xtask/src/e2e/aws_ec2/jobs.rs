//! Jobs that go well: programs of this machine with another configuration.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{place::Place, run::Trial};
use crate::{
    e2e::{
        peers::{ID, SECRET, moto_python},
        program::Said,
    },
    workspace::root,
};

pub(super) const TRIALS: &[(&str, Trial)] = &[
    ("the program of the seed runs with only the configuration changed, on 25 instances", seed),
    ("words of text in S3 are counted", words),
    ("each failure is told as on this machine", failures),
    ("the bill is that of the seconds in which instances ran", bill),
    ("one instance of 8 vCPUs beats eight of one, as the plan says and explains", one_or_eight),
    ("the doctor finds nothing wrong, and says what is", doctor),
];

fn seed(place: &Place) -> Result<(), String> {
    let before = place.hands.instances()?.len();
    let said = place.example("granularity", &[], "worker_instance_type: c7i.xlarge, max_workers: 25")?;
    let expected: Vec<i64> = (7..207).collect();
    said.ends_with(0)?.wants("the results", said.stdout == format!("{expected:?}\n"))?;
    said.wants("the plan", said.stderr.contains("200 calls: 25 workers x 4 sub-workers, chunks of 8"))?;
    match place.since(before)?.len() {
        25 => Ok(()),
        count => Err(format!("{count} instances were started, and 25 are planned")),
    }
}

fn words(place: &Place) -> Result<(), String> {
    let text = "to be or not to be that is the question\n".repeat(2000);
    for number in 0..8 {
        place.programs.write(&format!("texts/{number}"), text.as_bytes())?;
    }
    let said = place.example("words", &["texts"], "max_workers: 3")?;
    let lines = ["3 KiB", "50 KiB", "1 MiB"].map(|size| format!("160000 words in parts of {size}\n"));
    said.ends_with(0)?.wants("160000 words three times", said.stdout == lines.concat()).map(drop)
}

fn failures(place: &Place) -> Result<(), String> {
    let said = place.example("failures", &[], "max_workers: 2")?;
    said.ends_with(0)?;
    for line in ["return: return is fine\n", "err: ", "panic: ", "exit: ", "abort: ", "kill: ", "hang: "] {
        said.wants(line, said.stdout.contains(line))?;
    }
    let printed = "print: print is fine\nit printed: a line of output\n";
    said.wants(printed, said.stdout.contains(printed)).map(drop)
}

/// Two instances for 40 seconds.
fn bill(place: &Place) -> Result<(), String> {
    let before = place.hands.instances()?.len();
    // A minute is billed at least on EC2, which would hide what is looked at.
    let more = "worker_processes: 1, max_workers: 2, capabilities: {price: {minimum: 1s}}";
    let said = place.example("fleet", &["map", "80", "1000"], more)?;
    said.ends_with(0)?;
    let billed = summary(&said, "billed time")?;
    place.nothing_is_left()?;
    let instances = place.since(before)?;
    let ran: f64 = instances.iter().map(|one| one["seconds"].as_f64().unwrap_or(0.0)).sum();
    let difference = (billed - ran).abs() / ran;
    eprintln!("   billed {billed:.1} s, ran {ran:.1} s: {:.1} % apart", difference * 100.0);
    if instances.len() == 2 && ran > 75.0 && difference <= 0.05 {
        return Ok(());
    }
    Err(format!("{billed} s are billed, and the instances ran for {ran} s: {instances:?}"))
}

/// The same price for each vCPU, so that only the granularity differs.
fn one_or_eight(place: &Place) -> Result<(), String> {
    let (mut predicted, mut taken) = (Vec::new(), Vec::new());
    for (instance, workers, usd) in [("c7i.2xlarge", 1, 0.357), ("t2.micro", 8, 0.357 / 8.0)] {
        let more = format!(
            "worker_instance_type: {instance}, max_workers: {workers}, capabilities: {{price: {{worker_hour_usd: {usd}, increment: 1s, minimum: 60s, bills_startup: true}}}}"
        );
        place.programs.write("plan.yaml", place.yaml(&more).as_bytes())?;
        let plan = ["plan", "--tasks", "10000", "--chunksize", "auto", "--task-seconds", "0.05"];
        let plan = [&plan[..], &["--cpu-share", "0", "--config", "plan.yaml"]].concat();
        let explained = place.programs.lithops(&[&plan[..], &["--explain"]].concat())?;
        let why = format!("workers {workers}: 10000 calls in chunks of {}", 10000 / workers);
        explained.ends_with(0)?.wants(&why, explained.stdout.contains(&why))?;
        let json = place.programs.lithops(&[&plan[..], &["--json"]].concat())?.json()?;
        predicted.push((number(&json["makespan_seconds"])?, number(&json["cost_usd"])?));
        let said = place.example("fleet", &["map", "320", "50"], &more)?;
        said.ends_with(0)?;
        taken.push((summary(&said, "makespan")?, summary(&said, "billed time")?));
        place.nothing_is_left()?;
    }
    eprintln!("   predicted {predicted:?} (s, USD), taken {taken:?} (s, billed s)");
    let is_first = |both: &[(f64, f64)]| both[0].0 < both[1].0 && both[0].1 < both[1].1;
    match (is_first(&predicted), is_first(&taken)) {
        (true, true) => Ok(()),
        _ => Err(format!("one instance does not beat eight: predicted {predicted:?}, taken {taken:?}")),
    }
}

fn number(value: &Value) -> Result<f64, String> {
    value.as_f64().ok_or_else(|| format!("{value} is no number"))
}

/// A time in the summary that a program has printed.
fn summary(said: &Said, name: &str) -> Result<f64, String> {
    let line = said.stderr.lines().find_map(|line| line.strip_prefix(name));
    let time = line.map(|line| line.split('(').next().unwrap_or(line).trim());
    time.and_then(seconds).ok_or_else(|| format!("no {name}: {}", said.stderr))
}

/// A time such as `150s` or `2 min 30 s`.
fn seconds(text: &str) -> Option<f64> {
    let (mut all, mut number) = (0.0, String::new());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '0'..='9' | '.' => number.push(c),
            ' ' => {}
            'h' | 'm' | 's' => {
                let unit = match c {
                    'h' => 3600.0,
                    'm' if rest.peek() == Some(&'s') => {
                        rest.next();
                        0.001
                    }
                    'm' => 60.0,
                    _ => 1.0,
                };
                while rest.peek().is_some_and(|c| c.is_ascii_alphabetic()) {
                    rest.next();
                }
                all += number.parse::<f64>().ok()? * unit;
                number.clear();
            }
            _ => return None,
        }
    }
    (all > 0.0).then_some(all)
}

fn doctor(place: &Place) -> Result<(), String> {
    place.programs.write("config.yaml", place.yaml("").as_bytes())?;
    let said = place.programs.lithops(&["doctor", "--config", "config.yaml"])?;
    said.ends_with(0)?;
    for finding in [
        "instances open S3 as the instance profile `workers`",
        "the credentials are of account",
        "the image is ami-",
        "with 2 vCPUs",
        "instances are in",
        "no instance of a fleet runs",
        "no launch template is left",
        "\"ec2:CreateFleet\"",
    ] {
        said.wants(finding, said.stdout.contains(finding))?;
    }
    said.wants("no secret", !said.stdout.contains(SECRET) && !said.stderr.contains(SECRET))?;
    let wrong = place.yaml("subnet_ids: [subnet-0]").replace("instance_role: workers", "max_workers: 3");
    place.programs.write("wrong.yaml", wrong.as_bytes())?;
    let said = place.programs.lithops(&["doctor", "--config", "wrong.yaml"])?;
    said.ends_with(1)?;
    for finding in ["`instance_role` is missing", "subnet-0"] {
        said.wants(finding, said.stdout.contains(finding))?;
    }
    Ok(())
}

/// All requests are those that botocore makes for the same parameters, with its signatures.
pub(super) fn requests_are_those_of_botocore(place: &Place) -> Result<(), String> {
    let mut python = Command::new(moto_python()?);
    python.arg(root().join("tests/ec2_hands/golden.py")).args([ID, SECRET]);
    let requests = Value::from(place.hands.requests()?).to_string();
    let child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("cannot start Python: {error}"))?;
    let sent = child.stdin.take().map(|mut input| input.write_all(requests.as_bytes()));
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    sent.transpose().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let compared = text(&output.stdout);
    let wanted = [
        "CreateFleet",
        "CreateLaunchTemplate",
        "DescribeInstances",
        "GetConsoleOutput",
        "TerminateInstances",
    ];
    match wanted.iter().find(|action| !compared.contains(*action)) {
        _ if !output.status.success() => {
            Err(format!("botocore makes other requests: {}", text(&output.stderr)))
        }
        Some(action) => Err(format!("no {action} was compared with that of botocore, but {compared}")),
        None => {
            eprintln!("   requests are those of botocore: {compared}");
            Ok(())
        }
    }
}

/// Nothing that EC2 was told holds a secret: neither the client's credentials nor any other.
pub(super) fn no_secret_was_told(place: &Place) -> Result<(), String> {
    let holds = |request: &Value| request.to_string().contains(SECRET);
    match place.hands.requests()?.iter().find(|request| holds(request)) {
        Some(request) => Err(format!("a secret was told: {}", request["action"])),
        None => Ok(()),
    }
}
