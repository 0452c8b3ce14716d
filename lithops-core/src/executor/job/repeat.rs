//! [`Repeat`]: what a job leaves behind so that its failed calls can be run again as a new job.

use std::{collections::BTreeMap, fmt, sync::Arc};

use futures_util::future::BoxFuture;

use super::CallSources;
use crate::{
    error::{Error, ErrorKind, Result},
    protocol::Payloads,
};

/// At most this many bytes (256 MiB) of arguments of failed calls are kept in memory.
const MAX_KEPT: usize = 256 << 20;

/// Starts a job `J` of calls that have failed in an earlier one.
type Start<J> = dyn Fn(Failed) -> BoxFuture<'static, Result<Arc<J>>> + Send + Sync;

/// The calls to repeat, in order.
pub(crate) struct Failed {
    /// Their numbers in the earlier job.
    pub(crate) calls: Vec<u64>,
    /// Their encoded arguments; empty for a stored job, whose arguments are in the storage.
    pub(crate) arguments: Vec<Vec<u8>>,
    /// The sources of the earlier job's calls.
    pub(crate) sources: CallSources,
}

/// How a job's failed calls are run again, and the arguments that this takes.
pub(crate) struct Repeat<J> {
    start: Option<Arc<Start<J>>>,
    /// Whether the arguments are kept here; those of stored jobs are in the storage.
    keeps: bool,
    arguments: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
    /// More arguments have failed than are kept.
    overflowed: bool,
}

impl<J> Default for Repeat<J> {
    fn default() -> Self {
        Self { start: None, keeps: false, arguments: BTreeMap::new(), bytes: 0, overflowed: false }
    }
}

impl<J> fmt::Debug for Repeat<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repeat").field("kept", &self.arguments.len()).field("bytes", &self.bytes).finish()
    }
}

impl<J> Repeat<J> {
    /// `keeps` says that the arguments of failed calls have to be kept in memory.
    pub(crate) fn new(start: Arc<Start<J>>, keeps: bool) -> Self {
        Self { start: Some(start), keeps, ..Self::default() }
    }

    /// Whether arguments of failed calls are wanted.
    pub(crate) fn keeps(&self) -> bool {
        self.keeps && !self.overflowed
    }

    /// Keeps the argument of call `call`, the one at `index` of `arguments`.
    pub(crate) fn keep(&mut self, call: u64, arguments: &Payloads, index: usize) {
        let argument = arguments.get(index);
        if self.bytes + argument.len() > MAX_KEPT {
            self.overflowed = true;
            self.arguments = BTreeMap::new();
            return;
        }
        self.bytes += argument.len();
        self.arguments.insert(call, argument.to_vec());
    }

    /// What is needed to repeat those of `failed` that have run.
    ///
    /// # Errors
    /// This handle cannot start calls, or the arguments were too large to be kept.
    pub(crate) fn prepare(&self, failed: Vec<u64>, sources: CallSources) -> Result<(Arc<Start<J>>, Failed)> {
        let Some(start) = self.start.clone() else {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "this handle only reads the job, and runs no calls",
            )
            .with_hint("attach to the job with an executor: `fexec.attach(futures.job_id())`"));
        };
        if self.overflowed {
            let problem = format!(
                "the arguments of the failed calls have more than {MAX_KEPT} bytes together, and were not kept"
            );
            return Err(Error::new(ErrorKind::PayloadTooLarge, problem)
                .with_hint("make the job durable, which stores its arguments, or map the inputs of `futures.failed()` again"));
        }
        let (calls, arguments) = if self.keeps {
            failed.into_iter().filter_map(|call| Some((call, self.arguments.get(&call)?.clone()))).unzip()
        } else {
            (failed, Vec::new())
        };
        Ok((start, Failed { calls, arguments, sources }))
    }
}
