//! [`Log`]: the output of the processes of an environment.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::fd::OwnedFd,
    path::Path,
    sync::Mutex,
};

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::net::unix::pipe::Receiver;

use crate::shared::lock;

/// How much of the end of a log callers are given.
const TAIL: usize = 4096;

/// What the processes of an environment print, and what the service says of them.
#[derive(Debug)]
pub(super) struct Log {
    pipe: Receiver,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    file: File,
    /// The end of what was written since the last invocation.
    tail: Vec<u8>,
}

impl Log {
    /// A log that is written to a file, and where processes write to.
    pub(super) fn new(path: &Path) -> io::Result<(Self, OwnedFd)> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC)?;
        let written = Mutex::new(Written { file: File::create(path)?, tail: Vec::new() });
        Ok((Self { pipe: Receiver::from_owned_fd(read_end)?, written }, write_end))
    }

    /// Reads what is printed until no process has the pipe open any more.
    pub(super) async fn follow(&self) {
        while self.pipe.readable().await.is_ok() {
            if self.drain(|buffer| self.pipe.try_read(buffer)) {
                return;
            }
        }
    }

    /// Writes a line of the service's after all that was printed before.
    pub(super) fn line(&self, line: &str) {
        self.catch_up();
        lock(&self.written).push(format!("{line}\n").as_bytes());
    }

    /// The end of all that was written since this was called last.
    pub(super) fn take_tail(&self) -> Vec<u8> {
        self.catch_up();
        std::mem::take(&mut lock(&self.written).tail)
    }

    /// Reads what was printed until now.
    ///
    /// This asks the pipe itself, since the runtime may not have heard yet of what a process has printed just before
    /// its response.
    fn catch_up(&self) {
        self.drain(|buffer| Ok(rustix::io::read(&self.pipe, buffer)?));
    }

    /// Reads what there is, and says whether that was the last.
    fn drain(&self, read: impl Fn(&mut [u8]) -> io::Result<usize>) -> bool {
        let mut written = lock(&self.written);
        let mut buffer = [0; 16 * 1024];
        loop {
            match read(&mut buffer) {
                Ok(0) => return true,
                Ok(len) => written.push(&buffer[..len]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }
}

impl Written {
    fn push(&mut self, bytes: &[u8]) {
        // The file is for people; nothing depends on it.
        let _ = self.file.write_all(bytes);
        self.tail.extend_from_slice(bytes);
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
    }
}
