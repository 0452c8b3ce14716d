//! [`RunningPool`]: the pool of a worker of a fleet, whose sub-workers execute the program of the present job.

use std::os::unix::net::UnixStream as StdStream;

use lithops_core::{
    error::{Error, ErrorKind, Result},
    protocol::{Frame, FrameKind, FrameReader, Incoming, Outbox, Program, ProgramId, Setup, channel},
    storage::Locator,
};
use tokio::task::JoinHandle;

use super::programs::Programs;
use crate::pool::{self, Pool};

/// The pool of a worker of a fleet. It is started for the first job, and anew for a job of another program.
#[derive(Debug)]
pub(super) struct RunningPool {
    setup: Setup,
    programs: Programs,
    running: Option<(Option<ProgramId>, ToPool)>,
}

/// The client's end of the socket to the pool of this process.
#[derive(Debug)]
pub(super) struct ToPool {
    /// For jobs and calls.
    pub(super) outbox: Outbox,
    /// Logs and reports.
    pub(super) frames: FrameReader<Incoming>,
    /// The task of the pool; `None` once its end was told.
    served: Option<JoinHandle<Result<()>>>,
}

impl RunningPool {
    /// A pool that is not running yet. The credentials of `setup` open the storage from here on.
    pub(super) fn new(setup: Setup, is_program: bool) -> Self {
        if let Some(secrets) = &setup.secrets {
            lithops_core::storage::give(&secrets.storage, secrets.secrets.iter().cloned().collect());
        }
        Self { setup, programs: Programs::new(is_program), running: None }
    }

    /// The pool whose sub-workers execute this program, or the program that this worker was started with.
    ///
    /// # Errors
    /// When the program cannot be fetched, or is not the one that the client has stored.
    pub(super) async fn of(&mut self, program: Option<&ProgramId>, storage: &Locator) -> Result<&mut ToPool> {
        let is_right = self.running.as_ref().is_some_and(|(running, pool)| {
            running.as_ref() == program && pool.served.as_ref().is_some_and(|served| !served.is_finished())
        });
        if !is_right {
            // The sub-workers of another program end first: the new ones need their memory.
            if let Some((_, pool)) = self.running.take() {
                drop((pool.outbox, pool.frames));
                if let Some(served) = pool.served {
                    let _ = served.await;
                }
            }
            let path = self.programs.find(program, &self.setup.program, storage).await?;
            self.running = Some((program.cloned(), self.start(path)?));
        }
        self.running.as_mut().map(|(_, pool)| pool).ok_or_else(|| ended("it did not start"))
    }

    fn start(&self, program: Program) -> Result<ToPool> {
        let (ours, theirs) = StdStream::pair()?;
        let (frames, outbox) = channel(ours)?;
        let (commands, reports) = channel(theirs)?;
        if let Some(secrets) = &self.setup.secrets {
            // The sub-workers open the storage too, and get the secrets from the pool.
            let mut frame = Vec::new();
            Frame::write(FrameKind::Secrets, secrets, &mut frame)?;
            outbox.send(&frame);
        }
        let setup = Setup { program, grace: self.setup.grace, launch: None, secrets: None };
        let served = tokio::spawn(pool::run(Pool::new(setup, reports), commands));
        Ok(ToPool { outbox, frames, served: Some(served) })
    }
}

impl ToPool {
    /// Why the pool has ended.
    pub(super) async fn why_ended(&mut self) -> Error {
        let Some(served) = self.served.take() else { return ended("it was told before") };
        match served.await {
            Ok(Err(error)) => error,
            Ok(Ok(())) => ended("it had nothing more to do"),
            Err(panicked) => ended(&panicked.to_string()),
        }
    }
}

fn ended(why: &str) -> Error {
    Error::new(ErrorKind::Unexpected, format!("the pool of this worker has ended: {why}"))
}
