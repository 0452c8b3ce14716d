//! [`SubWorkerJob`]: runs one call at a time: finds the function, decodes its arguments, encodes its result.

use std::{cell::Cell, sync::OnceLock};

use lithops_core::{
    error::{CallError, CallErrorKind},
    fork,
    function::{Entry, JobScope, RunFn, Scope, find},
    partition::split,
    protocol::Calls,
};
use tokio::runtime::Runtime;

use super::panics;
use crate::exit::leave_at_once;

/// A job as its sub-worker has it.
#[derive(Debug)]
pub(super) struct SubWorkerJob {
    pub(super) scope: JobScope,
    entry: Result<&'static Entry, CallError>,
}

impl SubWorkerJob {
    pub(super) fn new(scope: JobScope) -> Self {
        let entry = find(&scope.spec.function)
            .map_err(|error| CallError::new(CallErrorKind::Undecodable, error.to_string()));
        Self { scope, entry }
    }

    /// Runs the `index`th of `calls`; the encoded value is appended to `out`.
    pub(super) fn run(&self, calls: &Calls, index: u32, out: &mut Vec<u8>) -> Result<(), CallError> {
        let entry = match &self.entry {
            Ok(entry) => *entry,
            Err(error) => return Err(error.clone()),
        };
        calls.arguments.decode(index as usize, |input| self.run_with(entry, calls, index, input, out))
    }

    fn run_with(
        &self,
        entry: &'static Entry,
        calls: &Calls,
        index: u32,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CallError> {
        let call = (calls.run.first + u64::from(index)).into();
        let (object, input) = match entry.takes_object {
            true => split(input).map(|(object, input)| (Some(object), input))?,
            false => (None, input),
        };
        let scope = Scope {
            call,
            activation: calls.run.activation_of(call),
            attempt: calls.run.attempt,
            job: &self.scope,
            object,
            shared_taken: Cell::new(0),
        };
        let outcome = panics::catch(|| match entry.run {
            RunFn::Sync(run) => run(&scope, input, out),
            RunFn::Async(run) => runtime()?.block_on(run(&scope, input, out)),
        });
        if fork::is_copy() {
            end_copy(&outcome);
        }
        outcome
    }
}

/// Ends a process that user code has made with `fork`, and that has returned from the call as its parent does: the
/// outcome and all after it are the parent's business. The exit code is that of a program with this outcome.
fn end_copy(outcome: &Result<(), CallError>) -> ! {
    leave_at_once(match outcome {
        Ok(()) => 0,
        Err(error) if *error.kind() == CallErrorKind::Panicked => 101,
        Err(_) => 1,
    })
}

/// The runtime of async functions: the call itself runs on the main thread, and the tasks it spawns on another.
fn runtime() -> Result<&'static Runtime, CallError> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        // A spawned task may have made a copy of this process with `fork`. Its runtime would take events from this one,
        // because both wait with the same descriptors.
        .on_thread_park(|| {
            if fork::is_copy() {
                leave_at_once(0);
            }
        })
        .build()
        .map_err(|error| {
            CallError::new(CallErrorKind::Failed, format!("cannot start an async runtime: {error}"))
        })?;
    Ok(RUNTIME.get_or_init(|| runtime))
}
