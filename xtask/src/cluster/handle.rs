//! [`Cluster`]: a cluster that runs, for tests and for the commands.

use std::{ffi::OsStr, fmt::Write, path::PathBuf, process::Command, time::Instant};

use rustix::process::Signal;

use super::{
    build::{self, CLUSTER, IMAGE, KNATIVE, KWOK},
    folder::Folder,
    network::REGISTRY,
    parts::{ACTIVATOR, AUDIT, CONFIG, Node, Parts, restart_activator, restart_api_server},
    start::{Programs, start},
    system::Sandbox,
};
use crate::e2e::weed;

/// What a cluster is to be like.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Nodes that run pods.
    pub(crate) nodes: u8,
    /// Nodes on which pods only seem to run.
    pub(crate) fake_nodes: u16,
    /// Whether Knative Serving runs in it.
    pub(crate) knative: bool,
    /// Whether missing packages of Debian are installed.
    pub(crate) install: bool,
    /// The folder of its files, if not the one below the target folder.
    pub(crate) folder: Option<PathBuf>,
    /// Whether one that runs in the folder is ended first.
    pub(crate) anew: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { nodes: 2, fake_nodes: 0, knative: false, install: false, folder: None, anew: false }
    }
}

/// A Kubernetes that runs until [`down`](Self::down), also when this process ends before.
#[derive(Debug)]
pub(crate) struct Cluster {
    parts: Parts,
}

impl Cluster {
    /// Starts a cluster, or finds the one that runs in the folder already.
    pub(crate) fn up(options: &Options) -> Result<Self, String> {
        let begun = Instant::now();
        let locked = Folder::of(options.folder.clone())?.locked()?;
        if options.anew {
            locked.down()?;
        }
        if let Some(cluster) = Self::found(locked.folder())? {
            if options.knative && !cluster.has_knative() {
                return Err(format!(
                    "the cluster in `{}` has no Knative: run `cargo xtask cluster down` first",
                    locked.folder().path().display()
                ));
            }
            eprintln!("   a cluster runs in `{}` already", locked.folder().path().display());
            return Ok(cluster);
        }
        let is_built = CLUSTER.is_built()?
            && (options.fake_nodes == 0 || KWOK.is_built()?)
            && (!options.knative || KNATIVE.is_built()?);
        build::prepare(options.install, !is_built)?;
        let bin = CLUSTER.built()?;
        let kwok = if options.fake_nodes > 0 { Some(KWOK.built()?.join("kwok")) } else { None };
        let knative = if options.knative { Some(KNATIVE.built()?) } else { None };
        let programs = Programs { bin, kwok, knative, weed: weed()? };
        // What an `up` has left that was interrupted.
        locked.down()?;
        let prepared = begun.elapsed();
        match start(&locked, options, &programs).and_then(Self::complete) {
            Ok(cluster) => {
                let (all, alone) = (begun.elapsed(), begun.elapsed() - prepared);
                eprintln!(
                    "   the cluster is up after {:.1} s; {:.1} s of them it took to start",
                    all.as_secs_f64(),
                    alone.as_secs_f64()
                );
                Ok(cluster)
            }
            Err(problem) => {
                let logs = locked.folder().join("logs");
                let ended = locked.down_after_failure().err();
                let ended = ended.map(|other| format!("; ending it failed too: {other}")).unwrap_or_default();
                Err(format!(
                    "the cluster did not start: {problem}\nall logs are in `{}`{ended}",
                    logs.display()
                ))
            }
        }
    }

    /// Writes what tells users, and later commands, that all of the cluster was started.
    fn complete(parts: Parts) -> Result<Self, String> {
        let cluster = Self { parts };
        let folder = &cluster.parts.folder;
        let lines = cluster.environment().map(|(name, value)| format!("{name}={value}\n"));
        folder.write("environment", &lines.concat())?;
        folder.write(folder.started(), "")?;
        Ok(cluster)
    }

    /// The cluster that runs in a folder.
    pub(crate) fn running(folder: Option<PathBuf>) -> Result<Self, String> {
        let folder = Folder::of(folder)?;
        let missing = || {
            format!(
                "no cluster runs in `{}`: start one with `cargo xtask cluster up`",
                folder.path().display()
            )
        };
        Self::found(&folder)?.ok_or_else(missing)
    }

    /// A cluster whose sandbox is there, in any state.
    pub(super) fn of(folder: Folder, sandbox: Sandbox) -> Self {
        Self { parts: Parts { folder, sandbox } }
    }

    /// A cluster that was started to its end. It is an error if a part of it has ended since.
    fn found(folder: &Folder) -> Result<Option<Self>, String> {
        let Some(sandbox) = folder.sandbox().filter(|_| folder.started().exists()) else { return Ok(None) };
        let cluster = Self::of(folder.clone(), sandbox);
        let ended = cluster.parts.ended();
        if ended.is_empty() {
            return Ok(Some(cluster));
        }
        Err(format!(
            "a cluster runs in `{}`, but `{}` has ended: run `cargo xtask cluster down` first",
            folder.path().display(),
            ended.join("`, `")
        ))
    }

    /// A command in the network of the cluster, with the files of the machine. `KUBECONFIG`, `LITHOPS_CONFIG_FILE` and
    /// `LITHOPS_CLUSTER_REGISTRY` are set, and `kubectl` is found.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.parts.sandbox.client(program);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders = vec![self.parts.folder.join("bin")];
        folders.extend(std::env::split_paths(&path));
        if let Ok(path) = std::env::join_paths(folders) {
            command.env("PATH", path);
        }
        command.envs(self.environment());
        command
    }

    /// Runs `kubectl` as an administrator, and returns what it printed.
    pub(crate) fn kubectl<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<String, String> {
        let mut command = self.parts.kubectl();
        command.args(arguments);
        let output = command.output().map_err(|error| format!("cannot start `nsenter`: {error}"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("`{}` failed: {}", crate::steps::line(&command), said.trim()))
    }

    /// Runs a function on a thread that is in the network of the cluster.
    pub(crate) fn within<T: Send>(&self, run: impl FnOnce() -> T + Send) -> Result<T, String> {
        self.parts.sandbox.within(run)
    }

    /// Stops the process of a kubelet, as if its node were lost. Nodes are counted from 1.
    pub(crate) fn stop_kubelet(&self, node: u8) -> Result<(), String> {
        self.parts.process(&Node::new(&self.parts, node).kubelet())?.signal(Signal::STOP)
    }

    /// Lets a kubelet go on that was stopped.
    pub(crate) fn continue_kubelet(&self, node: u8) -> Result<(), String> {
        self.parts.process(&Node::new(&self.parts, node).kubelet())?.signal(Signal::CONT)
    }

    /// Whether Knative Serving runs in it.
    pub(crate) fn has_knative(&self) -> bool {
        self.parts.folder.record(ACTIVATOR).exists()
    }

    /// Kills Knative's activator, through which all requests go, and starts it again.
    pub(crate) fn restart_activator(&self) -> Result<(), String> {
        restart_activator(&self.parts)
    }

    /// Ends the containerd of a node, whose containers go on, and starts it again.
    pub(crate) fn restart_containerd(&self, node: u8) -> Result<(), String> {
        Node::new(&self.parts, node).restart_containerd()
    }

    /// Kills the API server, which cuts every connection to it, and starts it again.
    pub(crate) fn restart_api_server(&self) -> Result<(), String> {
        restart_api_server(&self.parts)
    }

    /// The API server's log of the requests of service accounts: an object of JSON in each line.
    pub(crate) fn audit(&self) -> PathBuf {
        self.parts.folder.join(AUDIT)
    }

    /// The address of the registry, without a scheme. It has no TLS.
    pub(crate) fn registry(&self) -> &str {
        REGISTRY
    }

    /// An image that all nodes have, of a program that does nothing.
    pub(crate) fn idle_image(&self) -> &str {
        IMAGE
    }

    /// The configuration of Lithops for a bucket that the machine and the pods can reach.
    pub(crate) fn s3_config(&self) -> PathBuf {
        self.parts.folder.join(CONFIG)
    }

    /// The configuration of Kubernetes by which clients are administrators.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.parts.kubeconfig()
    }

    /// Ends the cluster, and removes all that it has made.
    pub(crate) fn down(self) -> Result<(), String> {
        self.parts.folder.clone().locked()?.down()
    }

    /// What a user needs to know of it.
    pub(super) fn description(&self) -> String {
        let mut text = format!("S3={}\n", self.s3_config().display());
        for (name, value) in self.environment() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name}={value}");
        }
        text + "cargo xtask cluster run -- COMMAND runs a command that can reach it"
    }

    fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("KUBECONFIG", self.kubeconfig().to_string_lossy().into_owned()),
            ("LITHOPS_CONFIG_FILE", self.s3_config().to_string_lossy().into_owned()),
            ("LITHOPS_CLUSTER_REGISTRY", self.registry().to_owned()),
        ]
    }
}
