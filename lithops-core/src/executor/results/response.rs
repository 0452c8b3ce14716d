//! [`ResponseFuture`]: the handle of one call.

use std::{fmt, marker::PhantomData, sync::Arc};

use crate::{
    error::{Error, ErrorKind, Result},
    executor::{
        api::{Async, Mode},
        job::{CallSource, JobState},
    },
    id::{CallId, JobId},
    plan::Plan,
    protocol::{CallStats, Tag},
};

/// The handle of one call. Cheap to clone; dropping it cancels nothing.
pub struct ResponseFuture<R, M: Mode = Async> {
    pub(crate) value: ResponseValue<R, M>,
}

/// The part of a [`ResponseFuture`] whose methods decode the value of type `R`.
pub struct ResponseValue<R, M: Mode> {
    pub(crate) job: Arc<JobState>,
    pub(crate) call: u64,
    types: PhantomData<fn() -> (R, M)>,
}

/// Whether a call has ended, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// The call has no outcome yet: it waits, or runs.
    Pending,
    /// The call returned a value.
    Success,
    /// The call failed, or was cancelled or lost.
    Failed,
}

impl<R, M: Mode> ResponseFuture<R, M> {
    pub(crate) fn new(job: Arc<JobState>, call: u64) -> Self {
        Self { value: ResponseValue { job, call, types: PhantomData } }
    }

    /// The call's number within its job.
    #[must_use]
    pub fn call_id(&self) -> CallId {
        CallId::from(self.value.call)
    }

    /// The id of the call's job.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.value.job.id()
    }

    /// What the call was given: the number of its input, or the object and the part of it.
    #[must_use]
    pub fn source(&self) -> CallSource {
        self.value.job.source(self.value.call)
    }

    /// The present plan of the call's job.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.value.job.plan()
    }

    /// Whether the call has ended, and how. The method does not wait.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.value.job.report_of(self.value.call).map(|report| report.tag(0)) {
            None => Status::Pending,
            Some(Tag::Ok) => Status::Success,
            Some(_) => Status::Failed,
        }
    }

    /// When and where the call ran; `None` until the call has ended.
    #[must_use]
    pub fn stats(&self) -> Option<CallStats> {
        self.value.job.stats(self.value.call)
    }

    /// Waits for the call and returns what it has printed on stdout and stderr, in order.
    ///
    /// # Errors
    /// When the job as a whole could not go on.
    pub fn logs(&self) -> M::Out<Result<String>> {
        let (job, call) = (Arc::clone(&self.value.job), self.value.call);
        M::run(async move {
            job.wait_for(|outcomes, progress| outcomes.done().contains(call) || progress.is_finished())
                .await?;
            Ok(job
                .read(|outcomes| outcomes.log(call).map(crate::protocol::LogEntry::text).unwrap_or_default()))
        })
    }

    /// Cancels the call, if it has no outcome yet: it gets the outcome `Cancelled`, and is ended if it runs.
    /// Where the backend cannot end a single call, the call runs on, and its outcome is dropped.
    ///
    /// # Errors
    /// When the job has already ended with an error, or another client drives the job.
    pub fn cancel(&self) -> M::Out<Result<()>> {
        let (job, call) = (Arc::clone(&self.value.job), self.value.call);
        M::run(async move {
            if !job.progress().reading {
                job.cancel_calls(call, call + 1);
            }
            let given_up = Arc::clone(&job);
            job.wait_for(move |outcomes, progress| {
                outcomes.done().contains(call) || progress.is_finished() || progress.reading
            })
            .await?;
            if given_up.report_of(call).is_some() {
                return Ok(());
            }
            Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "call {call} cannot be cancelled from here: another client drives job {}",
                    given_up.id()
                ),
            )
            .with_hint("cancel the whole job, or the call where the job is driven"))
        })
    }
}

impl<R, M: Mode> Clone for ResponseFuture<R, M> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.value.job), self.value.call)
    }
}

impl<R, M: Mode> fmt::Debug for ResponseFuture<R, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("job", &self.value.job.id())
            .field("call", &self.value.call)
            .field("status", &self.status())
            .finish()
    }
}

impl<R, M: Mode> fmt::Debug for ResponseValue<R, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseValue").field("job", &self.job.id()).field("call", &self.call).finish()
    }
}
