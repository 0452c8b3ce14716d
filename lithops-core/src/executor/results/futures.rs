//! [`FuturesList`]: the handles of a job's calls; and [`AsCompleted`]: the calls in the order in which they
//! end.

use std::{
    collections::VecDeque,
    fmt,
    marker::PhantomData,
    ops::Deref,
    ops::Index,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::{Stream, future::BoxFuture};
use serde::de::DeserializeOwned;

use super::{
    ResponseFuture, Summary, Wait,
    handles::{self, Handles},
    values::{self, Values},
};
use crate::{
    error::{CallError, CallErrorKind, Result},
    executor::{
        api::{Async, Blocking, Mode},
        job::{Inputs, IntoInputs, JobState, Progress},
    },
    id::{CallId, JobId},
    plan::Plan,
    protocol::CallStats,
    runtime,
    tracker::Ranges,
};

/// The handles of a job's calls, in the order of the inputs. Cheap to clone; dropping it cancels nothing.
pub struct FuturesList<R, M: Mode = Async> {
    pub(crate) values: Values<R, M>,
    handles: Arc<Handles<R, M>>,
}

impl<R, M: Mode> Deref for FuturesList<R, M> {
    type Target = Values<R, M>;

    fn deref(&self) -> &Values<R, M> {
        &self.values
    }
}

impl<R, M: Mode> FuturesList<R, M> {
    pub(crate) fn new(job: Arc<JobState>) -> Self {
        Self { values: Values { job, types: PhantomData }, handles: Arc::new(Handles::default()) }
    }

    /// How many calls the job has. The number is known at once when the inputs know their length; otherwise
    /// it grows until the inputs end.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.values.job.progress().known).unwrap_or(usize::MAX)
    }

    /// Whether no call is known so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The handle of the call at `index`; `None` if no such call is known so far.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&ResponseFuture<R, M>> {
        (index < self.len()).then(|| self.handles.get(&self.values.job, index))
    }

    /// The handles of the calls that are known now, in the order of the inputs. A handle is made when it is
    /// first asked for, and lives as long as the list.
    pub fn iter(&self) -> impl Iterator<Item = &ResponseFuture<R, M>> {
        handles::Iter::new(&self.handles, &self.values.job, self.len())
    }

    /// The handles of the calls that have failed so far, in the order of the inputs. Announced calls whose lazy
    /// inputs were never produced are not among them.
    #[must_use]
    pub fn failed(&self) -> Vec<&ResponseFuture<R, M>> {
        let failed = self.values.job.failed();
        failed.into_iter().filter_map(|call| self.get(usize::try_from(call).ok()?)).collect()
    }

    /// Waits for the job's end, and runs the calls that have failed again, as a new job with the same options;
    /// without a failed call it is a job of no calls. [`source`](ResponseFuture::source) of a new handle says
    /// what the first job's call was given. Calls that never ran, because they were cancelled or their input
    /// had failed, are not repeated.
    ///
    /// # Errors
    /// The job could not go on; its executor was dropped; the handle came from another program, and only
    /// reads the job; or the arguments of the failed calls were too large to be kept (256 MiB together,
    /// unless the job is durable).
    pub fn retry_failed(&self) -> M::Out<Result<Self>>
    where
        R: 'static,
    {
        let job = Arc::clone(&self.values.job);
        M::run(async move { job.retry_failed().await.map(Self::new) })
    }

    /// The maps of these reductions, with values of type `V`; `None` if the job is no `map_reduce`.
    #[must_use]
    pub fn maps<V>(&self) -> Option<FuturesList<V, M>> {
        self.values.job.maps().map(FuturesList::new)
    }

    /// The job's id.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.values.job.id()
    }

    /// The present plan: workers, chunks, sub-workers. Where a count is `Auto`, the plan changes while the
    /// job runs.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.values.job.plan()
    }

    /// What the job has taken and cost so far, beside what was predicted at its start. The method looks at
    /// every call.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary::of(&self.values.job)
    }

    /// How far the job is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.values.job.progress()
    }

    /// Waits until all calls have an outcome, or the number of calls that `return_when` sets.
    pub fn wait(&self) -> Wait<R, M> {
        Wait::new(Arc::clone(&self.values.job))
    }

    /// Cancels the job: calls without an outcome get the outcome `Cancelled`, and running calls are ended.
    /// Announced calls whose lazy inputs were never produced get the same outcome, and take no memory.
    ///
    /// # Errors
    /// When the job has already ended with an error.
    pub fn cancel(&self) -> M::Out<Result<()>> {
        let job = Arc::clone(&self.values.job);
        M::run(async move {
            job.cancel();
            job.wait_for(|_, progress| progress.is_finished()).await
        })
    }
}

impl<R, M: Mode> ResponseFuture<R, M> {
    /// The maps of this reduction, with values of type `V`; `None` if the call is no reduction of a
    /// `map_reduce`. What a map gave is there even if another one failed, so that the reducer did not run.
    #[must_use]
    pub fn maps<V>(&self) -> Option<FuturesList<V, M>> {
        self.value.job.maps().map(FuturesList::new)
    }
}

impl<T, M: Mode> IntoInputs<T> for FuturesList<T, M> {
    fn into_inputs(self) -> Inputs<T> {
        Inputs::outcomes(Arc::clone(&self.values.job))
    }
}

impl<T, M: Mode> IntoInputs<T> for &FuturesList<T, M> {
    fn into_inputs(self) -> Inputs<T> {
        Inputs::outcomes(Arc::clone(&self.values.job))
    }
}

impl<T, E, M: Mode> IntoInputs<T> for FuturesList<Result<T, E>, M> {
    fn into_inputs(self) -> Inputs<T> {
        Inputs::outcomes(Arc::clone(&self.values.job))
    }
}

impl<T, E, M: Mode> IntoInputs<T> for &FuturesList<Result<T, E>, M> {
    fn into_inputs(self) -> Inputs<T> {
        Inputs::outcomes(Arc::clone(&self.values.job))
    }
}

impl<T, E, M: Mode> From<FuturesList<Result<T, E>, M>> for FuturesList<T, M> {
    fn from(list: FuturesList<Result<T, E>, M>) -> Self {
        Self::new(Arc::clone(&list.values.job))
    }
}

impl<R, M: Mode> Index<usize> for FuturesList<R, M> {
    type Output = ResponseFuture<R, M>;

    fn index(&self, index: usize) -> &ResponseFuture<R, M> {
        let len = self.len();
        assert!(index < len, "call {index} of a job of {len} calls");
        self.handles.get(&self.values.job, index)
    }
}

impl<R, M: Mode> Clone for FuturesList<R, M> {
    fn clone(&self) -> Self {
        let values = Values { job: Arc::clone(&self.values.job), types: PhantomData };
        Self { values, handles: Arc::clone(&self.handles) }
    }
}

impl<R, M: Mode> fmt::Debug for FuturesList<R, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FuturesList")
            .field("job", &self.job_id())
            .field("progress", &self.progress())
            .finish()
    }
}

/// The calls of a job in the order in which they end.
pub struct AsCompleted<R, M: Mode> {
    job: Arc<JobState>,
    seen: Ranges,
    ready: VecDeque<(u64, u64)>,
    waiting: Option<BoxFuture<'static, Result<()>>>,
    ended: bool,
    types: PhantomData<fn() -> (R, M)>,
}

impl<R, M: Mode> AsCompleted<R, M> {
    pub(crate) fn new(job: Arc<JobState>) -> Self {
        Self {
            job,
            seen: Ranges::default(),
            ready: VecDeque::new(),
            waiting: None,
            ended: false,
            types: PhantomData,
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Completed<R>>> {
        loop {
            if let Some((first, end)) = self.ready.pop_front() {
                if first + 1 < end {
                    self.ready.push_front((first + 1, end));
                }
                return Poll::Ready(Some(Completed {
                    job: Arc::clone(&self.job),
                    call: first,
                    lost: None,
                    types: PhantomData,
                }));
            }
            let progress = self.job.progress();
            if self.ended || progress.complete && self.seen.len() == progress.known {
                return Poll::Ready(None);
            }
            let (job, seen) = (Arc::clone(&self.job), self.seen.len());
            let waiting = self.waiting.get_or_insert_with(|| {
                Box::pin(async move {
                    job.wait_for(|outcomes, progress| outcomes.done().len() > seen || progress.is_finished())
                        .await
                })
            });
            let waited = ready!(waiting.as_mut().poll(context));
            self.waiting = None;
            self.job.read(|outcomes| {
                for (first, end) in outcomes.done().iter() {
                    self.ready.extend(self.seen.missing(first, end));
                }
            });
            if let (Err(error), true) = (waited, self.ready.is_empty()) {
                // The job cannot go on: its error is returned as that of the first call without an outcome,
                // and the stream ends.
                let call = self.seen.missing(0, u64::MAX).first().map_or(0, |(first, _)| *first);
                self.ended = true;
                let lost = Some(CallError::new(CallErrorKind::WorkerLost, error.to_string()));
                return Poll::Ready(Some(Completed {
                    job: Arc::clone(&self.job),
                    call,
                    lost,
                    types: PhantomData,
                }));
            }
            self.ready.iter().for_each(|(first, end)| self.seen.insert(*first, *end));
        }
    }
}

impl<R> AsCompleted<R, Async> {
    /// Waits for the next call that ends; `None` when all calls have ended. No `StreamExt` is needed.
    pub async fn next(&mut self) -> Option<Completed<R>> {
        std::future::poll_fn(|context| self.poll(context)).await
    }
}

impl<R> Stream for AsCompleted<R, Async> {
    type Item = Completed<R>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Completed<R>>> {
        self.poll(context)
    }
}

impl<R> Iterator for AsCompleted<R, Blocking> {
    type Item = Completed<R>;

    fn next(&mut self) -> Option<Completed<R>> {
        runtime::driver().block_on(std::future::poll_fn(|context| self.poll(context)))
    }
}

impl<R, M: Mode> fmt::Debug for AsCompleted<R, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("job", &self.job.id()).field("seen", &self.seen.len()).finish()
    }
}

/// A call that has ended.
pub struct Completed<R> {
    job: Arc<JobState>,
    call: u64,
    lost: Option<CallError>,
    types: PhantomData<fn() -> R>,
}

impl<R> Completed<R> {
    /// The call's number within its job.
    #[must_use]
    pub fn call_id(&self) -> CallId {
        CallId::from(self.call)
    }

    /// When and where the call ran; `None` if the job failed before the call had an outcome.
    #[must_use]
    pub fn stats(&self) -> Option<CallStats> {
        self.job.stats(self.call)
    }

    /// The call's outcome, decoded on each call of this method.
    ///
    /// # Errors
    /// The call's error; or the job's, if the job failed before the call had an outcome.
    pub fn outcome(&self) -> Result<R, CallError>
    where
        R: DeserializeOwned,
    {
        match &self.lost {
            Some(error) => Err(error.clone().with_call(self.call_id(), self.job.function())),
            None => values::committed(&self.job, self.call).expect("it was seen among the committed calls"),
        }
    }
}

impl<R> fmt::Debug for Completed<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completed").field("job", &self.job.id()).field("call", &self.call).finish()
    }
}
