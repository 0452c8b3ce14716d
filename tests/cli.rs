//! The command line: what it prints, where, and with which exit code.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, SystemTime},
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
fn test_runs_jobs_of_every_kind_here() {
    let said = lithops(&["test", "-b", "localhost", "-s", "localhost"]);
    assert_eq!((said.code, said.stdout.lines().count()), (0, 6), "{said:?}");
    assert!(said.stdout.lines().all(|line| line.starts_with("ok ")), "{said:?}");
    let said = lithops(&["test", "-f", "map_red", "--json"]);
    let tested: Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(
        (&tested[0]["test"], &tested[0]["ok"], &tested[1]),
        (&"map_reduce".into(), &true.into(), &Value::Null)
    );
    let said = lithops(&["test", "-f", "no such"]);
    assert!(said.code == 3 && said.stderr.contains("there are call_async, map"), "{said:?}");
}

#[test]
fn a_shell_completes_the_commands_and_their_options() {
    let script = lithops(&["completions", "bash"]).stdout;
    for (words, expected) in [("lithops hel", "hello help"), ("lithops job attach --jso", "--json")] {
        let words: Vec<_> = words.split(' ').collect();
        let ask = format!(
            "{script}\nCOMP_WORDS=({}); COMP_CWORD={}; _lithops lithops {} {}; echo \"${{COMPREPLY[@]}}\"",
            words.join(" "),
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2]
        );
        let output = Command::new("bash").args(["--norc", "-c", &ask]).output().expect("bash");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected, "{output:?}");
    }
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let said = lithops(&["completions", shell]);
        assert!(said.code == 0 && said.stdout.contains("hello"), "{said:?}");
    }
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("man1");
    let said = lithops(&["man", path.to_str().expect("UTF-8")]);
    assert_eq!(said.code, 0, "{said:?}");
    for page in ["lithops.1", "lithops-job-attach.1", "lithops-logs.1", "lithops-test.1"] {
        let page = fs::read_to_string(path.join(page)).expect(page);
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{page}");
    }
}

#[test]
fn json_is_given_on_failure_too() {
    let broken = Config::new("lithops: {backend: [\n");
    let unknown = Config::new("lithops: {backend: nowhere}\n");
    let job = "0190f5c2-7b1c-7a54-9d3e-2f60c1d8a9b7";
    for arguments in [
        &["config", "check"][..],
        &["config", "show"],
        &["hello"],
        &["test"],
        &["plan", "--tasks", "3"],
        &["backends"],
        &["doctor"],
        &["job", "list"],
        &["job", "status", job],
        &["job", "cancel", job],
        &["logs", job],
    ] {
        let said = lithops(&[arguments, &["--json", "--config", broken.path()]].concat());
        let failed: Value = serde_json::from_str(&said.stdout).expect("JSON");
        assert!(
            said.code == 2 && failed["error"].as_str().is_some_and(|text| text.contains("YAML")),
            "{said:?}"
        );
        assert_eq!(failed["context"]["line"], "1", "{said:?}");
    }
    let said = lithops(&["config", "check", "--json", "--config", unknown.path()]);
    let checked: Value = serde_json::from_str(&said.stdout).expect("JSON");
    let message = checked["findings"][0]["message"].as_str().expect("a finding");
    assert!(said.code == 2 && message.contains("nowhere"), "{said:?}");
}

#[test]
fn nothing_is_coloured_where_no_terminal_reads() {
    let said = lithops(&["logs", "no-id"]);
    assert!(said.code != 0 && !said.stderr.contains('\x1b'), "{said:?}");
    let said = lithops(&["--help"]);
    assert!(said.code == 0 && !said.stdout.contains('\x1b'), "{said:?}");
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
    assert!(
        said.stdout.contains("chunks        4 of 6 calls, the last one 2, fed to live workers\n"),
        "{said:?}"
    );
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

/// A container service, as a user would describe it.
const CONTAINERS: &str = "
platform: my_containers
date: 2026-11-23
sources: [a price list]
granularity: caas
memory: {default: 2048, min: 512, max: 32768}
vcpus: {default: 4, min: 1, max: 8}
worker_processes: {max: 256}
workers: {default: 100, max: 1000}
timeout: {default: 300s, limit: 3600s}
feed: false
reports: buffered
liveness: response
cancel: activation
startup: {cold: 2s, warm: 20ms, sub_worker: 3ms}
call_overhead: 30us
price: {vcpu_second_usd: 2.4e-5, gb_second_usd: 2.5e-6, request_usd: 4.0e-7, increment: 100ms}
variants:
  vm: {granularity: vm, vcpus: {count: 8}, price: {worker_hour_usd: 0.34, minimum: 60s}}
";

fn planned(arguments: &[&str]) -> Value {
    let said = lithops(&[&["plan", "--json"], arguments].concat());
    assert_eq!(said.code, 0, "{said:?}");
    serde_json::from_str(&said.stdout).expect("JSON")
}

#[test]
fn any_platform_that_is_described_can_be_planned_for() {
    let file = Config::new(CONTAINERS);
    let on = |arguments: &[&str]| {
        planned(&[&["--tasks", "100", "--capabilities", file.path()], arguments].concat())
    };
    let containers = on(&[]);
    assert_eq!(
        (&containers["workers"], &containers["worker_processes"]),
        (&25.into(), &4.into()),
        "{containers}"
    );
    assert_eq!((&containers["granularity"], &containers["cost_usd"]), (&"caas".into(), &Value::Null));
    assert_eq!(on(&["--worker-processes", "1"])["workers"], 100);
    assert_eq!(on(&["--cpus", "8"])["worker_processes"], 8);
    let machines = on(&["--variant", "vm", "--task-seconds", "1"]);
    assert_eq!((&machines["workers"], &machines["worker_processes"]), (&13.into(), &8.into()), "{machines}");
    // Thirteen machines for a minute at least, and what they cost besides.
    assert!(machines["billed_seconds"].as_f64().is_some_and(|seconds| seconds >= 13.0 * 60.0), "{machines}");
    let priced = on(&["--task-seconds", "1"]);
    assert!(priced["cost_usd"].as_f64().is_some_and(|usd| usd > 0.0), "{priced}");
    let missing = lithops(&["plan", "--tasks", "1", "--capabilities", "missing.yaml"]);
    assert!(missing.code == 3 && missing.stderr.contains("cannot read `missing.yaml`"), "{missing:?}");
    let wrong = Config::new(&CONTAINERS.replace("caas", "baas"));
    let wrong = lithops(&["plan", "--tasks", "1", "--capabilities", wrong.path()]);
    assert!(wrong.code == 2 && wrong.stderr.contains(":5 does not describe a platform"), "{wrong:?}");
}

#[test]
fn a_plan_is_explained_simulated_and_drawn() {
    let file = Config::new(CONTAINERS);
    let arguments =
        ["plan", "--tasks", "1000", "--capabilities", file.path(), "--durations", "exponential:500ms"];
    let said = lithops(&[&arguments[..], &["--explain"]].concat());
    for wanted in [
        "why:\n  worker_processes 4: the 4 vCPUs of a container",
        "this plan",
        "best for time",
        "best for cost",
        "best for balanced",
        "makespan",
    ] {
        assert!(said.code == 0 && said.stdout.contains(wanted), "{wanted}: {said:?}");
    }
    let plan = planned(&[&arguments[1..], &["--explain", "--simulate", "31"]].concat());
    let makespan = plan["makespan_seconds"].as_f64().expect("predicted");
    let simulated = plan["simulation"]["median_seconds"].as_f64().expect("simulated");
    assert!((makespan / simulated - 1.0).abs() < 0.15, "{makespan} {simulated}");
    assert_eq!(plan["simulation"]["runs"], 31);
    let others = plan["alternatives"].as_array().expect("alternatives");
    assert!(others.len() > 10 && others.iter().filter(|other| other["is_plan"] == true).count() == 1);
    let folder = tempfile::tempdir().expect("a folder");
    let drawing = folder.path().join("plan.svg");
    let said = lithops(&[&arguments[..], &["--svg", drawing.to_str().expect("text")]].concat());
    let drawn = fs::read_to_string(drawing).expect("it was drawn");
    assert!(said.code == 0 && drawn.starts_with("<svg") && drawn.contains("the plan:"), "{said:?}");
}

#[test]
fn auto_follows_the_objective() {
    let file = Config::new(CONTAINERS);
    let arguments = ["--tasks", "5000", "--capabilities", file.path(), "--task-seconds", "0.2"];
    let auto = ["--chunksize", "auto", "--worker-processes", "auto", "--objective"];
    let of = |objective: &str| {
        let plan = planned(&[&arguments[..], &auto[..], &[objective]].concat());
        (plan["makespan_seconds"].as_f64().expect("predicted"), plan["cost_usd"].as_f64().expect("priced"))
    };
    let (time, cost) = (of("time"), of("cost"));
    assert!(time.0 < cost.0 && time.1 > cost.1, "{time:?} {cost:?}");
}

#[test]
fn a_plan_over_its_price_has_an_exit_code_of_its_own() {
    let file = Config::new(CONTAINERS);
    let arguments =
        ["plan", "--tasks", "1000", "--capabilities", file.path(), "--task-seconds", "1", "--max-cost"];
    let said = lithops(&[&arguments[..], &["0.001"]].concat());
    assert!(said.code == 6 && said.stderr.contains("`--max-cost` is $0.001"), "{said:?}");
    assert_eq!(lithops(&[&arguments[..], &["10"]].concat()).code, 0);
}

#[test]
fn what_a_function_took_can_be_planned_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = format!("localhost:\n  storage_root: {}\n", folder.path().display());
    let file = Config::new(&yaml);
    assert_eq!(lithops(&["hello", "-m", "20", "--config", file.path()]).code, 0);
    let arguments = ["plan", "--tasks", "10", "--config", file.path(), "--program", "lithops", "--function"];
    let said = lithops(&[&arguments[..], &["hello"]].concat());
    assert!(said.code == 3 && said.stderr.contains("lithops..hello..hello/localhost-0"), "{said:?}");
    let plan = planned(&[&arguments[1..], &["lithops::hello::hello"]].concat());
    assert!(plan["makespan_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{plan}");
    assert!(plan["why"].to_string().contains("from 20 earlier calls"), "{plan}");
}

#[test]
fn numbers_that_cannot_be_are_refused_with_what_to_write() {
    for (option, value, wanted) in [
        ("--tasks", "-5", "whole number"),
        ("--tasks", "99999999999999999999", "whole number"),
        ("--chunksize", "-3", "whole number from 1 up, or auto"),
        ("--chunksize", "2.5", "whole number from 1 up, or auto"),
        ("--worker-processes", "many", "whole number from 1 up, or auto"),
        ("--max-workers", "-1", "whole number from 1 up"),
        ("--task-seconds", "0", "above 0"),
        ("--task-seconds", "-1", "above 0"),
        ("--task-seconds", "NaN", "above 0"),
        ("--task-seconds", "1e300", "above 0"),
        ("--durations", "20 days", "write 20ms"),
        ("--cpu-share", "1.5", "from 0 (calls wait) to 1"),
        ("--cpus", "inf", "above 0"),
        ("--max-cost", "-1", "from 0 up"),
        ("--max-cost", "nan", "from 0 up"),
        ("--objective", "fast", "write `time`"),
    ] {
        let tasks = if option == "--tasks" { &[][..] } else { &["--tasks", "10"] };
        let said = lithops(&[&["plan"], tasks, &[option, value]].concat());
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{option} {value}: {said:?}");
        assert!(said.stderr.contains(option) && said.stderr.contains(wanted), "{option} {value}: {said:?}");
    }
    for option in [&["--simulate"][..], &["--cpu-share", "0.5"], &["--max-cost", "1"], &["--svg", "x.svg"]] {
        let file = Config::new(CONTAINERS);
        let said = lithops(&[&["plan", "--tasks", "10", "--capabilities", file.path()], option].concat());
        assert!(said.code == 2 && said.stderr.contains("needs to know how long a call takes"), "{said:?}");
    }
}

#[test]
fn an_unknown_backend_or_storage_is_not_found() {
    for arguments in [["hello", "-b", "lokalhost"], ["hello", "-s", "lokalhost"]] {
        let said = lithops(&arguments);
        assert_eq!((said.code, said.stdout.as_str()), (3, ""), "{said:?}");
        assert!(said.stderr.contains("`lokalhost`: did you mean `localhost`?"), "{said:?}");
    }
    for later in ["aws_batch", "azure_vms"] {
        let said = lithops(&["plan", "--tasks", "1", "--backend", later]);
        let words = format!("this version of lithops has no backend `{later}`");
        assert!(said.code == 3 && said.stderr.contains(&words), "{said:?}");
        assert!(!said.stderr.contains("enable feature"), "there is no such feature: {said:?}");
    }
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
    let file = Config::new(
        "lithops:\n  chunksize: -1\n  objective: fast\nlocalhost:\n  worker_processes: many\n  max_workers: 0\n  capabilities: {price: {request_usd: -1}}\n",
    );
    let said = lithops(&["config", "check", "--json", "--config", file.path()]);
    assert_eq!(said.code, 2, "{said:?}");
    let checked: Value = serde_json::from_str(&said.stdout).expect("JSON");
    let origins: BTreeSet<_> = checked["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .filter_map(|one| one["origin"].as_str())
        .collect();
    let expected: Vec<_> = [2, 5, 6].iter().map(|line| format!("{}:{line}", file.path())).collect();
    assert!(expected.iter().all(|origin| origins.contains(origin.as_str())), "{said:?}");
    assert!(said.stdout.contains("`price.request_usd` in `capabilities` in section `localhost`"), "{said:?}");
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
    let listed = listed.as_array().expect("a list").iter().find(|backend| backend["name"] == "localhost");
    let listed = listed.expect("localhost");
    assert_eq!(listed["package"], "lithops-backend-localhost", "{said:?}");
    assert_eq!((&listed["granularity"], &listed["feed"]), (&"local".into(), &true.into()), "{said:?}");
    assert!(lithops(&["backends"]).stdout.contains("localhost "), "{said:?}");
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

#[test]
fn programs_and_histories_that_no_job_has_used_for_long_are_removed() {
    let root = tempfile::tempdir().expect("a folder");
    let file = Config::new(&format!("localhost: {{storage_root: {}}}", root.path().display()));
    let days = |days: u64| SystemTime::now() - Duration::from_secs(days * 24 * 3600);
    let put = |key: &str, used: u64| {
        let path = root.path().join("storage").join(key);
        fs::create_dir_all(path.parent().expect("a folder")).expect("created");
        fs::write(&path, "stored").expect("written");
        fs::File::options().write(true).open(&path).expect("opened").set_modified(days(used)).expect("old");
        path
    };
    let old = [
        put("lithops.programs/aaaa.zst", 50),
        put("lithops.programs/aaaa.zip", 50),
        put("lithops.programs/aaaa.used", 40),
        put("lithops.history/app/f/localhost-0", 31),
    ];
    let kept = [
        // Long ago stored, and used since.
        put("lithops.programs/bbbb.zst", 50),
        put("lithops.programs/bbbb.used", 2),
        put("lithops.history/app/g/localhost-0", 2),
        put("data/aaaa.zst", 400),
    ];
    let clean = |more: &[&str]| lithops(&[&["clean", "--config", file.path()], more].concat());
    let said = clean(&["--dry-run"]);
    assert_eq!((said.code, said.stdout.lines().count()), (0, 2), "{said:?}");
    assert!(
        said.stdout.contains("would remove lithops.programs/aaaa  a program, not used for 40 days"),
        "{said:?}"
    );
    assert!(old.iter().chain(&kept).all(|path| path.exists()));
    let said = clean(&["--unused-for", "60d"]);
    assert!(said.code == 0 && said.stderr.contains("nothing to remove"), "{said:?}");
    let said = clean(&[]);
    assert_eq!((said.code, said.stdout.lines().count()), (0, 2), "{said:?}");
    assert!(said.stdout.contains("removing lithops.history/app/f/localhost-0"), "{said:?}");
    assert!(!old.iter().any(|path| path.exists()) && kept.iter().all(|path| path.exists()));
}

/// A worker that does not outlive its test.
struct Worker(std::process::Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_worker_that_a_client_has_left_is_listed_and_ended_and_that_of_a_living_client_is_not() {
    let root = tempfile::tempdir().expect("a folder");
    let file = Config::new(&format!("localhost: {{storage_root: {}}}", root.path().display()));
    let folder = root.path().join("storage");
    let put_client = |fleet: &str| {
        let folder = folder.join("lithops.fleets").join(fleet);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("client"), "1 0 open").expect("its client says that it lives");
        folder.join("client")
    };
    let start = |fleet: &str| {
        let document = serde_json::json!({
            "form": 1, "lithops": env!("CARGO_PKG_VERSION"), "protocol": [0, 65535], "fleet": fleet,
            "verify": "0".repeat(64), "worker": format!("{fleet}-1"), "memory": null,
            "storage": {
                "scheme": "localhost", "bucket": "storage", "region": null, "endpoint": null,
                "root": root.path().to_str(),
            },
            "look": {"secs": 0, "nanos": 50_000_000}, "patience": {"secs": 600, "nanos": 0},
            "orphan": {"secs": 3600, "nanos": 0}, "grace": {"secs": 1, "nanos": 0},
        });
        let mut command = Command::new(env!("CARGO_BIN_EXE_lithops"));
        command.env("LITHOPS_TRANSPORT", "pull").env("LITHOPS_LAUNCH", document.to_string());
        Worker(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("a worker"))
    };
    let left = put_client("left");
    let mut worker = start("left");
    // A worker that has stopped sees no client go, and would stay for ever.
    let pid = rustix::process::Pid::from_child(&worker.0);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("stopped");
    fs::remove_file(left).expect("its client has ended");
    let name = format!("process {}", worker.0.id());
    let clean = |more: &[&str]| lithops(&[&["clean", "--config", file.path()], more].concat());
    let said = clean(&["--dry-run"]);
    assert_eq!(said.code, 0, "{said:?}");
    let line = said.stdout.lines().find(|line| line.contains(&name)).expect("it is listed");
    assert!(
        line.starts_with(&format!("would remove {name}  a worker of the fleet left, which is stopped")),
        "{line}"
    );
    assert_eq!(worker.0.try_wait().expect("its state"), None);

    // The client of another worker says all the time that it lives.
    let living = put_client("living");
    let kept = start("living");
    let (says_on, ended) = (std::sync::atomic::AtomicBool::new(true), std::sync::atomic::Ordering::SeqCst);
    let said = std::thread::scope(|scope| {
        scope.spawn(|| {
            for beat in 2.. {
                if !says_on.load(ended) {
                    return;
                }
                fs::write(&living, format!("{beat} 0 open")).expect("it says so");
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let said = clean(&[]);
        says_on.store(false, ended);
        said
    });
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.contains(&format!("removing {name}  ")), "{said:?}");
    assert!(!said.stdout.contains(&format!("process {}", kept.0.id())), "{said:?}");
    let status = worker.0.wait().expect("it has ended");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{status}");
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
