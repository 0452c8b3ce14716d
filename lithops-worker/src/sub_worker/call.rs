//! Running one call: find the function, give it what it asks for, encode what it returns.

use std::{cell::Cell, sync::OnceLock};

use lithops_core::{
    error::{CallError, CallErrorKind},
    function::{Entry, JobScope, Run, Scope, find},
    partition::split,
    protocol::Calls,
};
use tokio::runtime::Runtime;

use super::panics;

/// A job in this process.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) scope: JobScope,
    entry: Result<&'static Entry, CallError>,
}

impl Job {
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
        panics::catch(|| match entry.run {
            Run::Sync(run) => run(&scope, input, out),
            Run::Async(run) => runtime()?.block_on(run(&scope, input, out)),
        })
    }
}

/// The runtime of async functions: the call itself runs on the main thread, what it spawns on another.
fn runtime() -> Result<&'static Runtime, CallError> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(
            |error| CallError::new(CallErrorKind::Failed, format!("cannot start an async runtime: {error}")),
        )?;
    Ok(RUNTIME.get_or_init(|| runtime))
}
