//! [`MapReduce`]: a map whose values go to a reducer, before it is started.

use std::{future::IntoFuture, marker::PhantomData, sync::Arc};

use futures_util::future::BoxFuture;

use super::{
    Async, Blocking, Mode, ResponseFuture,
    client::Core,
    options::{JobOptions, common_options, granularity_options},
    runtime, source,
};
use crate::{
    error::{Error, ErrorKind, Result},
    function::{Argument, Entry, Inputs, SharedGiven, SharedReady, SharedValues, TakesShared},
    job::{InputQueue, JobState},
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

    fn start(self) -> Result<ResponseFuture<R, M>> {
        let (entry, reducer) = (self.entry?, self.reducer?);
        if self.spawn_reducer > 100 {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("`spawn_reducer` is {}", self.spawn_reducer),
            )
            .with_hint("write a percentage from 0 to 100"));
        }
        let queue = Arc::new(InputQueue::default());
        let known = self.inputs.exact_len();
        let maps = self.core.start(entry, &self.options, self.shared_values?.0, known, &queue)?;
        source::produce(self.inputs, entry.display_name(), &queue);

        let reducer_queue = Arc::new(InputQueue::default());
        let options = JobOptions { chunksize: None, ..self.options };
        let reduce = self.core.start(reducer, &options, Vec::new(), Some(1), &reducer_queue)?;
        runtime::driver().spawn(async move {
            let gathered = gather(&maps, &reducer_queue).await;
            reducer_queue.end(gathered.err());
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
    queue.push(|out| {
        // A MessagePack array of all the values as they came; this header form is valid for any length.
        out.push(0xdd);
        out.extend_from_slice(&count.to_be_bytes());
        for report in &reports {
            (0..report.len()).for_each(|index| out.extend_from_slice(report.value(index)));
        }
        Ok(())
    })?;
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
        Box::pin(async move { started })
    }
}

impl<T: Argument, S: SharedReady, R: 'static, RS: SharedReady> MapReduce<T, S, R, RS, Blocking> {
    /// Starts the job.
    ///
    /// # Errors
    /// When an option is wrong, or a function is not a lithops function.
    pub fn run(self) -> Result<ResponseFuture<R, Blocking>> {
        self.start()
    }
}
