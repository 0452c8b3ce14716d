//! What a call can ask about itself and its job.

use std::{
    any::Any,
    cell::Cell,
    sync::{Arc, OnceLock},
};

use crate::{
    bytes::Bytes,
    error::{CallError, CallErrorKind},
    id::{ActivationId, CallId, JobId},
    protocol::JobSpec,
    storage::{self, StorageClient},
};

/// The call, its job and its attempt: a reserved parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallContext {
    call: CallId,
    job: JobId,
    activation: ActivationId,
    attempt: u32,
}

impl CallContext {
    /// The context of the call that runs in a scope.
    pub(super) fn of(scope: &Scope<'_>) -> Self {
        Self {
            call: scope.call,
            job: scope.job.spec.job,
            activation: scope.activation,
            attempt: scope.attempt,
        }
    }

    /// The call's number within its job.
    #[must_use]
    pub fn call_id(&self) -> CallId {
        self.call
    }

    /// The id of the call's job.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.job
    }

    /// The activation that the call belongs to: the hand-over of its chunk to a worker.
    #[must_use]
    pub fn activation_id(&self) -> ActivationId {
        self.activation
    }

    /// The attempt of the call that runs, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}

/// The surroundings of a running call, from which reserved parameters are made.
#[derive(Debug)]
pub struct Scope<'a> {
    /// The number of the call in its job.
    pub call: CallId,
    /// The activation that the call belongs to.
    pub activation: ActivationId,
    /// The attempt of the call, from 1.
    pub attempt: u32,
    /// The scope of the call's job.
    pub job: &'a JobScope,
    /// The encoded partition of the call; `None` unless the function takes an object.
    pub object: Option<&'a [u8]>,
    /// How many `Shared<T>` parameters were taken so far.
    pub shared_taken: Cell<usize>,
}

/// What a sub-worker keeps for a job: values that are decoded once and used by every call.
#[derive(Debug)]
pub struct JobScope {
    /// The description of the job, as the worker has sent it.
    pub spec: JobSpec,
    shared: Vec<OnceLock<Arc<dyn Any + Send + Sync>>>,
    storage: OnceLock<StorageClient>,
}

impl JobScope {
    /// The scope of a job, in which no value is decoded yet.
    #[must_use]
    pub fn new(spec: JobSpec) -> Self {
        let shared = spec.shared.iter().map(|_| OnceLock::new()).collect();
        Self { spec, shared, storage: OnceLock::new() }
    }

    /// The job's storage, connected when it is first asked for.
    pub(crate) fn storage(&self) -> Result<StorageClient, CallError> {
        if let Some(storage) = self.storage.get() {
            return Ok(storage.clone());
        }
        let failed = |message: String| CallError::new(CallErrorKind::Failed, message);
        let locator = self.spec.storage.as_ref().ok_or_else(|| failed("the job has no storage".into()))?;
        let store =
            storage::connect(locator).map_err(|error| failed(format!("cannot open the storage: {error}")))?;
        Ok(self.storage.get_or_init(|| StorageClient::new(store, locator.bucket.clone())).clone())
    }

    /// The value of the `index`th `Shared<T>` parameter, decoded when it is first asked for.
    pub(crate) fn shared<T: Any + Send + Sync>(
        &self,
        index: usize,
        decode: impl FnOnce(&Bytes) -> Result<T, CallError>,
    ) -> Result<Arc<T>, CallError> {
        let undecodable = |message: &str| CallError::new(CallErrorKind::Undecodable, message);
        let (slot, bytes) = self
            .shared
            .get(index)
            .zip(self.spec.shared.get(index))
            .ok_or_else(|| undecodable("the job was sent without the value of a `Shared` parameter"))?;
        if slot.get().is_none() {
            let value: Arc<dyn Any + Send + Sync> = Arc::new(decode(bytes)?);
            slot.get_or_init(|| value);
        }
        let value = Arc::clone(slot.get().expect("it was filled above"));
        value.downcast().map_err(|_| undecodable("a `Shared` parameter has two types"))
    }
}
