//! A worker that listens, as a process of its own.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// A worker, which ends with its test.
pub(crate) struct ListeningProcess {
    child: Option<Child>,
    pid: u32,
    pub(crate) address: String,
}

impl ListeningProcess {
    /// Starts a worker at a free port of loopback, and waits until it says which one that is.
    pub(crate) fn start(mut command: Command) -> Self {
        command.env("LITHOPS_LISTEN", "127.0.0.1:0").stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("a worker");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).expect("a line") > 0, "the worker has ended: {said}");
            if let Some((_, address)) = line.trim().split_once(" listens at ") {
                break address.to_owned();
            }
            said.push_str(&line);
        };
        // What it says later is not waited for.
        thread::spawn(move || lines.read_to_string(&mut String::new()));
        Self { pid: child.id(), child: Some(child), address }
    }

    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.pid.to_string()]).status().expect("a signal");
        assert!(sent.success());
    }

    /// The exit code of the worker, which ends by itself.
    pub(crate) async fn end(mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it runs");
        let ended = tokio::task::spawn_blocking(move || child.wait().expect("an end").code());
        ended.await.expect("no panic")
    }
}

impl Drop for ListeningProcess {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until a call has written a line into the file, and gives it.
pub(crate) async fn until_written(path: &Path) -> String {
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}
