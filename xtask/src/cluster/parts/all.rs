//! [`Parts`]: starts the parts of a cluster, and knows which of them still run.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::cluster::{
    folder::Folder,
    system::{Process, Sandbox, last_lines, until},
};

/// How long a part may take to be ready on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The parts of one cluster.
#[derive(Debug)]
pub(in crate::cluster) struct Parts {
    pub(in crate::cluster) folder: Folder,
    pub(in crate::cluster) sandbox: Sandbox,
}

impl Parts {
    /// A program that was built for the cluster.
    pub(in crate::cluster) fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// The configuration by which clients are administrators.
    pub(in crate::cluster) fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// Starts a part.
    pub(super) fn spawn<A: AsRef<OsStr>>(
        &self,
        part: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Process, String> {
        let process = self.sandbox.spawn(program, arguments, &self.folder.log(part))?;
        process.record(&self.folder.record(part))?;
        Ok(process)
    }

    /// The process of a part.
    pub(in crate::cluster) fn process(&self, part: &str) -> Result<Process, String> {
        Process::recorded(&self.folder.record(part))
            .filter(|process| process.is_alive())
            .ok_or_else(|| format!("`{part}` does not run{}", last_lines(&self.folder.log(part))))
    }

    /// The parts that were started and have ended.
    pub(in crate::cluster) fn ended(&self) -> Vec<String> {
        let parts = self.folder.parts().into_iter();
        parts.filter(|(_, process)| !process.is_some_and(Process::is_alive)).map(|(part, _)| part).collect()
    }

    /// Waits until a part is ready; any part that ends meanwhile is an error.
    pub(super) fn until(&self, part: &str, ready: impl FnMut() -> bool) -> Result<(), String> {
        let log = |part: &str| last_lines(&self.folder.log(part));
        let broken = || self.ended().first().map(|part| format!("`{part}` has ended{}", log(part)));
        until(&format!("`{part}`"), PATIENCE, || self.ended().first().and_then(|_| broken()), ready)
            .map_err(|problem| if problem.contains("it printed") { problem } else { problem + &log(part) })
    }

    /// `kubectl` as an administrator.
    pub(in crate::cluster) fn kubectl(&self) -> Command {
        let mut command = self.sandbox.client(self.program("kubectl"));
        command.env("KUBECONFIG", self.kubeconfig());
        command
    }

    /// Whether `kubectl` succeeds, and what it prints is as it should be.
    pub(super) fn asks(&self, arguments: &[&str], is_right: impl FnOnce(&str) -> bool) -> bool {
        let output = self.kubectl().args(arguments).args(["--request-timeout=5s"]).output();
        output
            .is_ok_and(|output| output.status.success() && is_right(&String::from_utf8_lossy(&output.stdout)))
    }
}

/// Puts values in the place of the `@WORDS@` of a template.
pub(super) fn filled(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (word, value)| text.replace(&format!("@{word}@"), value))
}
