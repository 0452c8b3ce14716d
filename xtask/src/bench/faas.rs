//! `cargo xtask bench faas`: a map on AWS Lambda by lithops and by Lithops for Python, on the same emulator of Lambda and
//! S3.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    e2e::{Server, lithops_python},
    steps,
    workspace::{built, cargo, root},
};

/// Calls, and the calls of a chunk. Both systems have ten workers of one call at a time.
const MAPS: &[(u64, u64)] = &[(200, 1), (2_000, 100)];

/// The programs, which are built together so that each dependency is built once.
const BUILD: &[&str] = &[
    "build",
    "--release",
    "--quiet",
    "--package=lithops",
    "--package=lithops-worker",
    "--features=lithops/aws_lambda,lithops-worker/lambda",
    "--bin=lithops-worker",
    "--example=bench",
];

/// How a system is started, but for its calls and the calls of a chunk.
type Client<'a> = dyn Fn() -> Command + 'a;

pub(super) fn run() -> Result<(), String> {
    steps::run(cargo().args(BUILD))?;
    let python = lithops_python()?;
    let folder = built("peers")?.join(format!("faas-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let worker = built("release")?.join("lithops-worker");
    let bench = built("release")?.join("examples/bench");
    let mut table = HEAD.to_owned();
    for (calls, chunksize) in MAPS {
        let server = Server::counted_ministack(&folder)?;
        let yaml = server.lambda_yaml(&format!(", max_workers: 10, worker: '{}'", worker.display()));
        let config = folder.join("config.yaml");
        fs::write(&config, yaml).map_err(|error| error.to_string())?;
        let rust = || {
            let mut command = Command::new(&bench);
            command.arg("faas").env("LITHOPS_CONFIG_FILE", &config);
            command
        };
        table += &measure("lithops (Rust)", &server, &folder, &rust, (*calls, *chunksize))?;
        drop(server);
        let server = Server::counted_ministack(&folder)?;
        let endpoint = format!("http://127.0.0.1:{}", server.port);
        // It keeps there what is deployed: it must not believe that this server has the functions of the one before.
        let home = folder.join(format!("home-{calls}"));
        fs::create_dir_all(&home).map_err(|error| error.to_string())?;
        let python = || {
            let mut command = Command::new(&python);
            command.arg(root().join("xtask/peers/faas.py")).arg(&endpoint).env("HOME", &home);
            command
        };
        table += &measure("Lithops (Python)", &server, &folder, &python, (*calls, *chunksize))?;
    }
    eprintln!("\n{table}");
    fs::remove_dir_all(&folder).map_err(|error| error.to_string())
}

const HEAD: &str = "| system | calls | of a chunk | s | requests to Lambda | requests to S3 | CPU of the client, s |\n\
                    |---|---|---|---|---|---|---|\n";

/// Runs a system's program twice, and measures the second run: the first one deploys its function.
fn measure(
    name: &str,
    server: &Server,
    folder: &Path,
    client: &Client<'_>,
    (calls, chunksize): (u64, u64),
) -> Result<String, String> {
    let mut found = Value::Null;
    let mut requests = Requests::default();
    for _ in 0..2 {
        let before = Requests::until_now(server)?;
        let mut command = client();
        command.args([calls.to_string(), chunksize.to_string()]).current_dir(folder).stderr(Stdio::inherit());
        let output = command.output().map_err(|error| format!("cannot start {name}: {error}"))?;
        if !output.status.success() {
            return Err(format!("{name} ended with {}", output.status));
        }
        let line = String::from_utf8_lossy(&output.stdout);
        let line = line.lines().rev().find_map(|line| serde_json::from_str(line).ok());
        found = line.ok_or_else(|| format!("{name} printed no JSON"))?;
        requests = Requests::until_now(server)?.since(&before);
    }
    let Requests { functions, storage } = requests;
    let (seconds, cpu) = (&found["value"], &found["client_cpu_s"]);
    let line = json!({
        "workload": "faas", "system": name, "calls": calls, "chunksize": chunksize, "value": seconds, "unit": "s",
        "client_cpu_s": cpu, "requests_to_lambda": functions, "requests_to_s3": storage,
    });
    #[expect(clippy::print_stdout, reason = "the measurement is what it is for")]
    {
        println!("{line}");
    }
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    Ok(format!(
        "| {name} | {calls} | {chunksize} | {:.2} | {functions} | {storage} | {:.3} |\n",
        number(seconds),
        number(cpu)
    ))
}

/// How many requests the emulator has answered, those of clients and functions together.
#[derive(Debug, Default)]
struct Requests {
    functions: usize,
    storage: usize,
}

impl Requests {
    fn until_now(server: &Server) -> Result<Self, String> {
        let log: PathBuf = server.accesses();
        let log =
            fs::read_to_string(&log).map_err(|error| format!("cannot read `{}`: {error}", log.display()))?;
        let paths = log.lines().filter_map(|line| line.split(' ').find(|word| word.starts_with('/')));
        let (mut functions, mut storage) = (0, 0);
        for path in paths {
            match path.starts_with("/2015-03-31/") || path.starts_with("/2018-10-31/") {
                true => functions += 1,
                false if path.starts_with("/_ministack") || path == "/" => {}
                false => storage += 1,
            }
        }
        Ok(Self { functions, storage })
    }

    fn since(&self, before: &Self) -> Self {
        Self { functions: self.functions - before.functions, storage: self.storage - before.storage }
    }
}
