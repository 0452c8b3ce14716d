//! [`MapReduce`]: a map whose values go to a reducer, before it is started.

use std::{future::IntoFuture, marker::PhantomData, sync::Arc};

use futures_util::future::BoxFuture;

use super::{
    Async, Blocking, Mode, ResponseFuture,
    client::Core,
    mode::refuse_inside_runtime,
    options::{JobOptions, common_options, granularity_options},
    runtime, source,
};
use crate::{
    error::{Error, ErrorKind, Result},
    function::{Argument, Entry, Inputs, SharedGiven, SharedReady, SharedValues, TakesShared},
    job::{InputQueue, JobState, Measured},
    protocol::MAX_VALUE,
};

/// A function's value as the reducer sees it: `V` of both `V` and `Result<V, E>`.
#[diagnostic::on_unimplemented(
    message = "the reducer takes `Vec<{V}>`, and the function gives `{Self}`",
    label = "the reducer's argument is a `Vec` of what the function gives"
)]
pub trait Gives<V> {}

impl<V> Gives<V> for V {}
impl<V, E> Gives<V> for Result<V, E> {}

/// A `map_reduce` before it is started: options, then `.await?` (or `.run()?` in the blocking form).
#[must_use = "a map_reduce starts when it is awaited, or with `.run()` in the blocking form"]
#[derive(Debug)]
pub struct MapReduce<T, S, R, RS, M: Mode> {
    core: Arc<Core>,
    entry: Result<&'static Entry>,
    reducer: Result<&'static Entry>,
    inputs: Inputs<T>,
    options: JobOptions,
    shared_values: Result<SharedValues>,
    spawn_reducer: u8,
    state: PhantomData<Types<S, R, RS, M>>,
}

type Types<S, R, RS, M> = fn(S, RS) -> (R, M);

impl<T: Argument, S, R, RS, M: Mode> MapReduce<T, S, R, RS, M> {
    pub(crate) fn new(
        core: Arc<Core>,
        entry: Result<&'static Entry>,
        inputs: Inputs<T>,
        reducer: Result<&'static Entry>,
    ) -> Self {
        let (options, shared_values) = (JobOptions::default(), Ok(SharedValues::default()));
        Self { core, entry, reducer, inputs, options, shared_values, spawn_reducer: 20, state: PhantomData }
    }

    common_options!();
    granularity_options!();

    /// How many percent of the maps are done before a worker for the reducer may start. The reducer runs when all
    /// are done; where workers are warm, as on localhost, an early start gains nothing and none is made.
    pub fn spawn_reducer(mut self, percent: u8) -> Self {
        self.spawn_reducer = percent;
        self
    }

    /// Starts the job; what is left to wait for is what earlier ones took, where it is planned by that.
    fn start(self) -> Result<BoxFuture<'static, Result<ResponseFuture<R, M>>>>
    where
        S: 'static,
        R: 'static,
        RS: 'static,
    {
        let entry = self.entry.as_ref().copied().map_err(Error::again)?;
        if self.core.plans_by_history(&self.options) {
            return Ok(Box::pin(async move {
                let earlier = self.core.earlier(entry, &self.options).await?;
                self.start_planned(earlier.as_ref())
            }));
        }
        let earlier = self.core.known(entry, &self.options)?;
        let started = self.start_planned(earlier.as_ref())?;
        Ok(Box::pin(async move { Ok(started) }))
    }

    fn start_planned(self, earlier: Option<&Measured>) -> Result<ResponseFuture<R, M>> {
        let (entry, reducer) = (self.entry?, self.reducer?);
        if self.spawn_reducer > 100 {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("`spawn_reducer` is {}", self.spawn_reducer),
            )
            .with_hint("write a percentage from 0 to 100"));
        }
        if self.core.stores_outcomes() {
            let problem = "`map_reduce` needs a backend whose outcomes come back to the client";
            return Err(Error::new(ErrorKind::Unsupported, problem)
                .with_hint("call `map`, and then the reducer on its results"));
        }
        let shared = self.shared_values?.0;
        // The reducer's job first: should it be refused, nothing runs.
        let reducer_queue = Arc::new(InputQueue::default());
        let options = JobOptions { chunksize: None, max_cost: None, ..self.options.clone() };
        let reduce = self.core.start(reducer, &options, Vec::new(), Some(1), &reducer_queue, None)?;

        let queue = Arc::new(InputQueue::default());
        let known = self.inputs.exact_len();
        let maps = match self.core.start(entry, &self.options, shared, known, &queue, earlier) {
            Ok(maps) => maps,
            Err(error) => {
                reduce.cancel();
                return Err(error);
            }
        };
        source::produce(self.inputs, entry.display_name(), &queue);
        let reducing = Arc::clone(&reduce);
        runtime::driver().spawn(async move {
            tokio::select! {
                gathered = gather(&maps, &reducer_queue) => reducer_queue.end(gathered.err()),
                // The reducer can only end before its input has come when it was cancelled, and the maps with it.
                _ = reducing.wait_for(|_, progress| progress.is_finished()) => maps.cancel(),
            }
        });
        Ok(ResponseFuture::new(reduce, 0))
    }
}

/// Waits for all maps and queues their values as the reducer's one argument, without decoding them.
async fn gather(maps: &JobState, queue: &InputQueue) -> Result<()> {
    maps.wait_for(|_, progress| progress.is_finished()).await?;
    let (reports, failed) = maps.read(|outcomes| {
        let reports: Vec<_> = outcomes.reports().cloned().collect();
        let failed = reports.iter().find_map(|report| {
            let index = (0..report.len()).find(|index| report.tag(*index) != crate::protocol::Tag::Ok)?;
            Some(maps.call_error(outcomes, report, index))
        });
        (reports, failed)
    });
    if let Some(failed) = failed {
        return Err(Error::from(failed).with_hint("the reducer was not called"));
    }
    let count = reports.iter().map(crate::protocol::Report::len).sum::<usize>();
    let count = u32::try_from(count)
        .map_err(|_| Error::new(ErrorKind::PayloadTooLarge, "a reducer takes at most 4294967295 values"))?;
    let sizes = reports.iter().flat_map(|report| (0..report.len()).map(|index| report.value(index).len()));
    let bytes = sizes.sum::<usize>();
    if bytes > MAX_VALUE {
        let problem =
            format!("the values for the reducer have {bytes} bytes together, and the limit is {MAX_VALUE}");
        return Err(Error::new(ErrorKind::PayloadTooLarge, problem).with_hint(
            "let the function return less, or put values into the storage and return their names",
        ));
    }
    // A MessagePack array of all the values as they came; this header form is valid for any length.
    let mut argument = Vec::with_capacity(bytes + 5);
    argument.push(0xdd);
    argument.extend_from_slice(&count.to_be_bytes());
    for report in &reports {
        (0..report.len()).for_each(|index| argument.extend_from_slice(report.value(index)));
    }
    queue.push(&argument);
    Ok(())
}

impl<T: Argument, S: TakesShared, R, RS, M: Mode> MapReduce<T, S, R, RS, M> {
    /// The value of the mapped function's `Shared<T>` parameter, a tuple for several.
    pub fn shared(self, value: S::Given) -> MapReduce<T, SharedGiven, R, RS, M> {
        let Self { core, entry, reducer, inputs, options, spawn_reducer, .. } = self;
        let shared_values = S::encode(&value);
        MapReduce { core, entry, reducer, inputs, options, shared_values, spawn_reducer, state: PhantomData }
    }
}

impl<T, S, R, RS> IntoFuture for MapReduce<T, S, R, RS, Async>
where
    T: Argument,
    S: SharedReady + 'static,
    R: 'static,
    RS: SharedReady + 'static,
{
    type Output = Result<ResponseFuture<R, Async>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let started = self.start();
        Box::pin(async move { started?.await })
    }
}

impl<T, S, R, RS> MapReduce<T, S, R, RS, Blocking>
where
    T: Argument,
    S: SharedReady + 'static,
    R: 'static,
    RS: SharedReady + 'static,
{
    /// Starts the job.
    ///
    /// # Errors
    /// When an option is wrong, or a function is not a lithops function.
    pub fn run(self) -> Result<ResponseFuture<R, Blocking>> {
        refuse_inside_runtime()?;
        runtime::driver().block_on(self.start()?)
    }
}
