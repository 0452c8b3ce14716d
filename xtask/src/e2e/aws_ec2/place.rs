//! [`Place`]: moto and the hands, and the configuration by which programs run their jobs there.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::hands::Hands;
use crate::e2e::{
    peers::{BUCKET, ID, SECRET, Server},
    program::{Programs, Said},
};

/// How long something may take that instances are to do.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long after the time for a silent client instances may live.
const MARGIN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// moto and the hands, and the programs.
pub(super) struct Place {
    pub(super) programs: Programs,
    pub(super) hands: Hands,
    pub(super) moto: Server,
    pub(super) folder: PathBuf,
}

/// A program that runs. It is killed when this is dropped.
pub(super) struct Running {
    child: Child,
    folder: PathBuf,
}

impl Place {
    /// A configuration; `more` are keys of the section `aws_ec2`.
    pub(super) fn yaml(&self, more: &str) -> String {
        let (moto, hands) = (self.moto.port, self.hands.port);
        let comma = if more.is_empty() { "" } else { ", " };
        format!(
            "lithops: {{backend: aws_ec2}}\naws: {{access_key_id: {ID}, secret_access_key: {SECRET}, region: us-east-1}}\naws_s3: {{storage_bucket: {BUCKET}, endpoint: 'http://127.0.0.1:{moto}'}}\naws_ec2: {{endpoint: 'http://127.0.0.1:{hands}', instance_role: workers{comma}{more}}}\n"
        )
    }

    /// Runs an example to its end.
    pub(super) fn example(&self, name: &str, arguments: &[&str], more: &str) -> Result<Said, String> {
        self.programs.write("config.yaml", self.yaml(more).as_bytes())?;
        self.programs.example_with(name, arguments, "config.yaml")
    }

    /// Starts the example `fleet`.
    pub(super) fn start(&self, arguments: &[&str], more: &str) -> Result<Running, String> {
        let config = self.programs.write("config.yaml", self.yaml(more).as_bytes())?;
        let file = |name: &str| fs::File::create(self.folder.join(name)).map_err(|error| error.to_string());
        // A shell that has started this in the background has it ignore Ctrl-C, and what it starts.
        let mut command: Command = self.programs.prepared("env");
        command.arg("--default-signal=INT").arg(self.programs.built().join("examples/fleet"));
        command.args(arguments).env("LITHOPS_CONFIG_FILE", config);
        let child = command.stdin(Stdio::null()).stdout(file("stdout")?).stderr(file("stderr")?).spawn();
        let child = child.map_err(|error| format!("cannot start the example: {error}"))?;
        Ok(Running { child, folder: self.folder.clone() })
    }

    /// The instances that were started since there were this many.
    pub(super) fn since(&self, before: usize) -> Result<Vec<Value>, String> {
        let all = self.hands.instances()?;
        Ok(all.into_iter().skip(before).collect())
    }

    /// The instances that run.
    pub(super) fn running(&self) -> Result<Vec<Value>, String> {
        let mut all = self.hands.instances()?;
        all.retain(|instance| instance["state"] == "running");
        Ok(all)
    }

    /// Waits until no instance is pending or running, and no template is there.
    pub(super) fn nothing_is_left(&self) -> Result<(), String> {
        self.until("no instance lives", || {
            let live = |one: &Value| one["state"] != "terminated";
            Ok(!self.hands.instances()?.iter().any(live))
        })?;
        self.until("no template is there", || Ok(self.hands.templates()?.is_empty()))
    }

    /// Waits until no instance is pending or running and no template is there, which must be so soon after the client's end:
    /// after the time that its workers wait for a silent client, and half a minute.
    pub(super) fn nothing_is_left_after(&self, orphan: Duration) -> Result<(), String> {
        let (begun, most) = (Instant::now(), orphan + MARGIN);
        self.nothing_is_left()?;
        let took = begun.elapsed();
        eprintln!(
            "   {:.1} s after the client's end no instance and no template is left (at most {} s)",
            took.as_secs_f64(),
            most.as_secs()
        );
        if took <= most {
            Ok(())
        } else {
            Err(format!("nothing is left after {took:?}, and not after {most:?}"))
        }
    }

    /// Waits until something is so.
    pub(super) fn until(
        &self,
        what: &str,
        mut is_so: impl FnMut() -> Result<bool, String>,
    ) -> Result<(), String> {
        let begun = Instant::now();
        while !is_so()? {
            if begun.elapsed() > PATIENCE {
                let stderr = fs::read_to_string(self.folder.join("stderr")).unwrap_or_default();
                let all = self.hands.instances()?;
                return Err(format!("{what}: not so after {PATIENCE:?}\n{stderr}\n{all:?}"));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Waits until this many instances run while the program does.
    pub(super) fn until_running(&self, program: &mut Running, count: usize) -> Result<(), String> {
        self.until(&format!("{count} instances run"), || {
            program.lives()?;
            Ok(self.running()?.len() == count)
        })
    }
}

impl Running {
    pub(super) fn stdout(&self) -> String {
        fs::read_to_string(self.folder.join("stdout")).unwrap_or_default()
    }

    pub(super) fn stderr(&self) -> String {
        fs::read_to_string(self.folder.join("stderr")).unwrap_or_default()
    }

    /// Fails when the program has ended.
    pub(super) fn lives(&mut self) -> Result<(), String> {
        match self.child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => Err(format!("the program ended with {status}: {}", self.stderr())),
            None => Ok(()),
        }
    }

    /// Sends a signal, by its name.
    pub(super) fn signal(&self, name: &str) -> Result<(), String> {
        crate::steps::run(Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]))
    }

    /// Waits for the end, with this exit code; gives what it printed on stdout and stderr.
    pub(super) fn ends_with(mut self, code: Option<i32>) -> Result<(String, String), String> {
        let status = self.child.wait().map_err(|error| error.to_string())?;
        let (stdout, stderr) = (self.stdout(), self.stderr());
        if status.code() == code {
            return Ok((stdout, stderr));
        }
        Err(format!(
            "the program ended with {status}, wanted is {code:?}\nstdout:\n{stdout}\nstderr:\n{stderr}"
        ))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
