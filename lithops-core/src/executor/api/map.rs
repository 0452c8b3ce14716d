//! [`Map`]: a job of many calls, before it is started.

use std::{
    future::IntoFuture,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;

use super::{
    Async, Blocking, Mode,
    mode::{self, refuse_inside_runtime},
    options::{JobOptions, common_options, durable_options, granularity_options, object_options},
    repeat,
};
use crate::{
    error::Result,
    executor::{
        core::Core,
        job::{InputQueue, Inputs, Measured, encode_inputs},
        results::FuturesList,
    },
    function::{Argument, Entry, NoShared, SharedGiven, SharedReady, SharedValues, TakesShared},
    plan::Plan,
    runtime,
};

/// A `map` before it is started: options, then `.await?` (or `.run()?` in the blocking form).
#[must_use = "a map starts when it is awaited, or with `.run()` in the blocking form"]
#[derive(Debug)]
pub struct Map<T, R, S, M: Mode> {
    core: Arc<Core>,
    entry: Result<&'static Entry>,
    inputs: Inputs<T>,
    options: JobOptions,
    shared_values: Result<SharedValues>,
    state: PhantomData<fn(S) -> (R, M)>,
}

impl<T: Argument, R, S, M: Mode> Map<T, R, S, M> {
    pub(crate) fn new(core: Arc<Core>, entry: Result<&'static Entry>, inputs: Inputs<T>) -> Self {
        let (options, shared_values) = (JobOptions::default(), Ok(SharedValues::default()));
        Self { core, entry, inputs, options, shared_values, state: PhantomData }
    }

    common_options!();
    granularity_options!();
    durable_options!();
    object_options!();

    /// The plan of the job: its workers, makespan and cost. The method starts nothing and consumes no input.
    /// Inputs that do not know their length are planned as empty.
    ///
    /// # Errors
    /// When an option is wrong.
    pub fn plan(self) -> M::Out<Result<Plan>> {
        M::run(async move {
            let entry = self.entry?;
            self.inputs.check(entry, &self.options.objects)?;
            let inputs = self.inputs.found(&self.options.objects, &self.core.resolve_context()).await?;
            let earlier = self.core.earlier(entry, &self.options).await?;
            self.core.plan(&self.options, inputs.exact_len().unwrap_or(0), earlier.as_ref())
        })
    }

    /// Starts the job. The returned future waits until objects are looked up, a durable job is stored, or the
    /// history for the planner is read; otherwise it is ready at once.
    fn start(self) -> Result<BoxFuture<'static, Result<FuturesList<R, M>>>>
    where
        S: 'static,
        R: 'static,
    {
        runtime::start()?;
        let entry = self.entry?;
        self.inputs.check(entry, &self.options.objects)?;
        if self.inputs.are_wanted() {
            return Ok(Box::pin(async move {
                let inputs = self.inputs.found(&self.options.objects, &self.core.resolve_context()).await?;
                Self { entry: Ok(entry), inputs, ..self }.start()?.await
            }));
        }
        let queue = Arc::new(InputQueue::default());
        let (known, sources) = (self.inputs.exact_len(), self.inputs.sources());
        let shared = self.shared_values?.0;
        let Self { core, inputs, options, .. } = self;
        if options.durable || core.stores_outcomes() {
            encode_inputs::produce(inputs, entry.display_name(), &queue);
            return Ok(Box::pin(async move {
                let job =
                    Arc::clone(&core).start_durable(entry, options.clone(), shared, known, queue).await?;
                job.set_sources(sources);
                repeat::stored(&core, &job, Some(options));
                Ok(FuturesList::new(job))
            }));
        }
        let by_history = core.plans_by_history(&options);
        let earlier = if by_history { None } else { core.known(entry, &options)? };
        let start = move |core: &Arc<Core>, options: JobOptions, earlier: Option<Measured>| {
            let job = core.start(entry, &options, shared.clone(), known, &queue, earlier.as_ref())?;
            job.set_sources(sources);
            repeat::in_memory(core, &job, entry, options, shared);
            encode_inputs::produce(inputs, entry.display_name(), &queue);
            Ok(FuturesList::new(job))
        };
        if by_history {
            return Ok(Box::pin(async move {
                let earlier = core.earlier(entry, &options).await?;
                start(&core, options, earlier)
            }));
        }
        let futures = start(&core, options, earlier)?;
        Ok(Box::pin(async move { Ok(futures) }))
    }
}

impl<T: Argument, R, S: TakesShared, M: Mode> Map<T, R, S, M> {
    /// Sets the value of the function's `Shared<T>` parameter, or a tuple of values for several. A value is
    /// sent to each worker once per job, and decoded once per sub-worker.
    pub fn shared(self, value: S::Given) -> Map<T, R, SharedGiven, M> {
        let Self { core, entry, inputs, options, .. } = self;
        Map { core, entry, inputs, options, shared_values: S::encode(&value), state: PhantomData }
    }
}

macro_rules! awaitable {
    ($($State:ty),*) => {$(
        impl<T: Argument, R: 'static> IntoFuture for Map<T, R, $State, Async> {
            type Output = Result<FuturesList<R, Async>>;
            type IntoFuture = BoxFuture<'static, Self::Output>;

            fn into_future(self) -> Self::IntoFuture {
                let started = self.start();
                Box::pin(async move { started?.await })
            }
        }
    )*};
}

awaitable!(NoShared, SharedGiven);

/// Never holds: it makes the compiler say which value is missing, where it would say "not a future".
impl<T, R, S: TakesShared + SharedReady> Future for Map<T, R, S, Async> {
    type Output = Result<FuturesList<R, Async>>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Pending
    }
}

impl<T: Argument, R: 'static, S: 'static> Map<T, R, S, Blocking> {
    /// Starts the job.
    ///
    /// # Errors
    /// When an option is wrong, or what the function returns cannot be sent.
    pub fn run(self) -> Result<FuturesList<R, Blocking>>
    where
        S: SharedReady,
    {
        refuse_inside_runtime()?;
        mode::block_on(self.start()?)?
    }
}
