//! [`System`]: lithops and its peers, as programs that measure one workload and say what they found.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::workload::{HANGS, Workload};
use crate::{
    steps,
    workspace::{built, cargo, root},
};

/// A system, and how its program is started.
#[derive(Debug)]
pub(super) struct System {
    pub(super) name: String,
    /// Its program, and the arguments before workload and count.
    program: Vec<PathBuf>,
}

/// What a program found, and how long it lived.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) value: f64,
    pub(super) line: Value,
    pub(super) lived: Duration,
}

impl System {
    /// Lithops itself, built from this workspace.
    pub(super) fn lithops() -> Result<Self, String> {
        steps::run(cargo().args(["build", "--release", "--quiet", "-p", "lithops", "--examples"]))?;
        let program = vec![built("release")?.join("examples/bench")];
        Ok(Self { name: "lithops (Rust)".into(), program })
    }

    /// The peers, which are installed if they are not there yet.
    pub(super) fn peers() -> Result<Vec<Self>, String> {
        let peers = root().join("xtask/peers");
        let target = built("peers")?.join("procspawn");
        let manifest = peers.join("procspawn/Cargo.toml");
        let build = ["build", "--release", "--quiet", "--locked", "--manifest-path"];
        steps::run(cargo().args(build).arg(manifest).arg("--target-dir").arg(&target))?;
        let procspawn =
            Self { name: "procspawn".into(), program: vec![target.join("release/peer-procspawn")] };
        let python = python(&peers.join("requirements.txt"))?;
        let names = ["Pool", "ProcessPoolExecutor", "joblib", "dask", "ray", "lithops v1", "lithops"];
        let pythons = names.into_iter().map(|name| Self {
            name: if name.starts_with("lithops") { format!("{name} (Python)") } else { name.to_owned() },
            program: vec![python.clone(), peers.join("peers.py"), name.into()],
        });
        Ok([procspawn].into_iter().chain(pythons).collect())
    }

    /// Whether it is lithops, which the peers are compared with.
    pub(super) fn is_own(&self) -> bool {
        self.program.len() == 1 && self.name.starts_with("lithops")
    }

    /// Measures once, in a process of its own.
    pub(super) fn measure(&self, workload: &str, count: u64, folder: &Path) -> Result<Found, String> {
        let mut program = self.program.clone();
        let mut arguments = vec![workload.to_owned(), count.to_string()];
        if Workload::reads_text(workload) {
            arguments.push(folder.display().to_string());
        }
        if workload == "seed" && self.is_own() {
            program = vec![built("release")?.join("examples/granularity")];
            arguments.clear();
        }
        // As many open files as the system allows: some systems need one for each call.
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n $(ulimit -Hn); exec \"$@\"", "sh"]).args(&program).args(&arguments);
        command.env("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0").env("PYTHONWARNINGS", "ignore");
        // Some start `python`, and must find the one that has them.
        if let [python, _, _] = program.as_slice() {
            let bin = python.parent().map(Path::to_owned);
            let path = std::env::var_os("PATH").unwrap_or_default();
            let path = std::env::join_paths(bin.into_iter().chain(std::env::split_paths(&path)));
            command.env("PATH", path.map_err(|error| error.to_string())?);
        }
        let output = folder.join("output");
        let errors = folder.join("errors");
        let begun = Instant::now();
        let ended = ended(&mut command, &output, &errors)?;
        let lived = begun.elapsed();
        let printed = fs::read_to_string(&output).unwrap_or_default();
        if !ended {
            let errors = fs::read_to_string(&errors).unwrap_or_default();
            let errors: Vec<_> = errors
                .lines()
                .filter(|line| !line.trim().is_empty() && !line.contains("RUST_BACK"))
                .collect();
            let last = errors.iter().find(|line| line.contains("panicked") || line.contains("Error"));
            let last = last.or(errors.last()).copied().unwrap_or("no word of why");
            return Err(format!("{last:.160}"));
        }
        if workload == "seed" {
            let expected = format!("{:?}", (7..7 + count).collect::<Vec<_>>());
            if !printed.trim_end().ends_with(&expected) {
                return Err(format!("it printed something else than {expected:.20}..."));
            }
            let value = lived.as_secs_f64() * 1e3;
            return Ok(Found { value, line: json!({}), lived });
        }
        let line = printed.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok());
        let line = line.ok_or("it printed no JSON")?;
        let value = line["value"].as_f64().ok_or("it printed no value")?;
        Ok(Found { value, line, lived })
    }
}

/// Runs a program to its end, and says whether it succeeded.
fn ended(command: &mut Command, output: &Path, errors: &Path) -> Result<bool, String> {
    use std::os::unix::process::CommandExt;
    let file = |path: &Path| fs::File::create(path).map_err(|error| error.to_string());
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file(output)?)
        .stderr(file(errors)?)
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot start `{}`: {error}", steps::line(command)))?;
    let deadline = Instant::now() + HANGS;
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok(status.success());
        }
        if Instant::now() > deadline {
            // Its children are in its process group, or end with it.
            let group = format!("-{}", child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            child.wait().map_err(|error| error.to_string())?;
            fs::write(errors, format!("it hangs: no end after {HANGS:?}"))
                .map_err(|error| error.to_string())?;
            return Ok(false);
        }
        // Whole processes of some ms are timed here too.
        thread::sleep(Duration::from_micros(200));
    }
}

/// A Python with the peers, in an environment of its own below `target/`.
fn python(requirements: &Path) -> Result<PathBuf, String> {
    let folder = built("peers")?.join("bench");
    let wanted = fs::read_to_string(requirements).map_err(|error| error.to_string())?;
    let mark = folder.join("installed");
    let python = folder.join("bin/python");
    if fs::read_to_string(&mark).is_ok_and(|found| found == wanted) {
        return Ok(python);
    }
    eprintln!("   installing {}", wanted.trim().replace('\n', ", "));
    steps::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    steps::run(Command::new(&python).args(pip).arg(requirements))?;
    fs::write(mark, wanted).map_err(|error| error.to_string())?;
    Ok(python)
}
