//! [`Sandbox`]: the namespaces in which all of a cluster runs.
//!
//! ```text
//!  machine                 sandbox: one network, one list of mounts, one list of processes
//!  cargo xtask ──nsenter──> init ──> etcd, API server, .., containerd, kubelet, shims, pods
//! ```
//!
//! The network has no way out. The kernel ends all processes when the init ends, and removes mounts, bridges and
//! addresses with the last of them: nothing has to be found and undone, also after a cluster that started half.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::{
    process::Signal,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use super::{Process, last_lines, until};
use std::os::{fd::AsFd, unix::process::CommandExt};

/// How long a process may take to be started.
const START: Duration = Duration::from_secs(10);

/// The namespaces, held by their init.
#[derive(Debug, Clone, Copy)]
pub(in crate::cluster) struct Sandbox {
    init: Process,
}

impl Sandbox {
    /// Makes the namespaces. `init` is the program that holds them; `record` names it from before it begins, so that
    /// [`recorded`](Self::recorded) finds it however this process ends. `mark` is shown in lists of processes.
    pub(in crate::cluster) fn start(init: &Path, mark: &Path, record: &Path) -> Result<Self, String> {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--net", "--mount", "--propagation", "private", "--fork", "--mount-proc"]);
        command.arg(init).arg(mark).current_dir("/").process_group(0);
        // A terminal or pipe of this process must not stay open for as long as the cluster runs.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut parent = command.spawn().map_err(|error| format!("cannot start `unshare`: {error}"))?;
        let mut found = None;
        let is_init = |process: Process| {
            fs::read_link(format!("/proc/{}/exe", process.pid())).is_ok_and(|exe| exe == init)
        };
        let started = until(
            "the first process of the sandbox",
            START,
            || None,
            || {
                found = Process::child_of(parent.id()).filter(|child| is_init(*child));
                found.is_some() || parent.try_wait().is_ok_and(|status| status.is_some())
            },
        );
        // The init waits for a byte, and ends when there will be none.
        let go_ahead = parent.stdin.take();
        let go = |process: Process| {
            process.record(record)?;
            let mut input = go_ahead.ok_or("`unshare` has no input")?;
            input.write_all(b"\n").map_err(|error| format!("the first process of the sandbox ended: {error}"))
        };
        let result = started
            .and_then(|()| found.ok_or_else(|| "`unshare` failed: namespaces need root".to_owned()))
            .and_then(|process| go(process).map(|()| Self { init: process }));
        // It has nothing more to do: the init of the machine takes its child over.
        let _ = parent.kill();
        let _ = parent.wait();
        result
    }

    /// The sandbox that was recorded, if it is still there.
    pub(in crate::cluster) fn recorded(record: &Path) -> Option<Self> {
        Process::recorded(record).filter(|init| init.is_alive()).map(|init| Self { init })
    }

    /// Ends all processes, and with them all that they have made but files and control groups.
    pub(in crate::cluster) fn end(self) -> Result<(), String> {
        self.init.end(Signal::KILL)
    }

    pub(in crate::cluster) fn init(self) -> Process {
        self.init
    }

    /// A command in the network of the sandbox, with the files of the machine.
    pub(in crate::cluster) fn client(self, program: impl AsRef<OsStr>) -> Command {
        // `ip netns exec` would also mount another `/sys`, without the control groups.
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.init.pid())).arg("--").arg(program);
        command
    }

    /// A command in all namespaces.
    fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.init.pid())).args(["--pid", "--net", "--mount", "--"]);
        command.arg(program).current_dir("/").stdin(Stdio::null());
        command
    }

    /// Runs a program in all namespaces to its end, and returns what it printed.
    pub(in crate::cluster) fn run<A: AsRef<OsStr>>(
        self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<String, String> {
        let mut command = self.command(program);
        let output = command.args(arguments).output();
        let output = output.map_err(|error| format!("cannot start `nsenter`: {error}"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("`{}` failed: {}", crate::steps::line(&command), said.trim()))
    }

    /// Starts a program in all namespaces that goes on when this process has ended. Its output is added to a log.
    pub(in crate::cluster) fn spawn(
        self,
        program: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        log: &Path,
    ) -> Result<Process, String> {
        let cannot = |error| format!("cannot write `{}`: {error}", log.display());
        let output = OpenOptions::new().create(true).append(true).open(log).map_err(cannot)?;
        let errors = output.try_clone().map_err(cannot)?;
        // A signal of the terminal is for the command that runs there.
        let mut command = self.command(program);
        command.args(arguments).stdout(output).stderr(errors).process_group(0);
        let mut parent = command.spawn().map_err(|error| format!("cannot start `nsenter`: {error}"))?;
        let mut found = None;
        let name = program.display();
        let started = until(
            &format!("`{name}`"),
            START,
            || None,
            || {
                found = Process::child_of(parent.id());
                found.is_some() || parent.try_wait().is_ok_and(|status| status.is_some())
            },
        );
        // `nsenter` would stop together with its child, and wait for it; the init takes the child over.
        let _ = parent.kill();
        let _ = parent.wait();
        started?;
        found.ok_or_else(|| format!("`{name}` ended at once{}", last_lines(log)))
    }

    /// Runs a function on a thread that is in the network of the sandbox.
    pub(in crate::cluster) fn within<T: Send>(self, run: impl FnOnce() -> T + Send) -> Result<T, String> {
        let path = format!("/proc/{}/ns/net", self.init.pid());
        let network = File::open(&path).map_err(|error| format!("cannot open `{path}`: {error}"))?;
        let thread = || {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(|error| format!("cannot enter the network of the cluster: {error}"))?;
            Ok(run())
        };
        std::thread::scope(|scope| scope.spawn(thread).join())
            .unwrap_or_else(|_| Err("a thread in the network of the cluster panicked".to_owned()))
    }
}
