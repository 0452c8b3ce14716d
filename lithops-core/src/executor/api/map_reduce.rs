//! [`MapReduce`]: a map whose values are the argument of a reducer, before it is started.

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
    options::{JobOptions, common_options, granularity_options, object_options},
    repeat,
};
use crate::{
    error::{Error, ErrorKind, Result},
    executor::{
        core::Core,
        durable::deferred_reduce::DeferredReduce,
        job::{InputQueue, Inputs, JobState, Measured, encode_inputs},
        results::{FuturesList, ResponseFuture},
    },
    function::{Argument, Entry, NoShared, SharedGiven, SharedReady, SharedValues, TakesShared},
    protocol::{MAX_VALUE, Tag},
    runtime,
};

/// Relates a function's return type to the value that the reducer gets: `V` for both `V` and `Result<V, E>`.
#[diagnostic::on_unimplemented(
    message = "the reducer takes `Vec<{V}>`, and the function gives `{Self}`",
    label = "the reducer's argument is a `Vec` of what the function gives"
)]
pub trait Gives<V> {}

impl<V> Gives<V> for V {}
impl<V, E> Gives<V> for Result<V, E> {}

/// Relates a reducer's argument to its elements: only a `Vec<V>` can be one.
#[diagnostic::on_unimplemented(
    message = "a reducer takes the values of all calls as one `Vec`, and this one takes `{Self}`",
    label = "its only argument is to be a `Vec` of what the function gives",
    note = "write `fn reduce(values: Vec<T>) -> T`: the reducer is called once, not for pairs of values"
)]
pub trait Gathered<V> {}

impl<V> Gathered<V> for Vec<V> {}

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
    /// A percentage, which is checked and has no effect: see the setter.
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
    object_options!();

    /// Sets after how many percent of the maps a worker for the reducer may start, as in Python Lithops. The
    /// value is
    /// checked, and has no effect in this version: the reducer's worker starts when all maps are done.
    pub fn spawn_reducer(mut self, percent: u8) -> Self {
        self.spawn_reducer = percent;
        self
    }

    /// Calls the reducer once for each object of the [`DataSource`](crate::partition::DataSource), with the
    /// values of the object's parts in their order. The results are in the order of the objects.
    pub fn obj_reduce_by_key(self) -> MapReduceByKey<T, S, R, RS, M> {
        MapReduceByKey(self)
    }

    /// Starts the maps and the reducer, and returns the reducer's job. The returned future waits until
    /// objects are looked up, the history for the planner is read, or the maps are stored; otherwise it is
    /// ready at once.
    fn start(mut self, by_key: bool) -> Result<BoxFuture<'static, Result<Arc<JobState>>>>
    where
        S: 'static,
        R: 'static,
        RS: 'static,
    {
        runtime::start()?;
        let entry = self.entry.as_ref().copied().map_err(Error::again)?;
        self.inputs.check(entry, &self.options.objects)?;
        if by_key && !self.inputs.are_objects() {
            let problem = "`obj_reduce_by_key` is about objects, and the inputs are none";
            return Err(Error::new(ErrorKind::InvalidInput, problem)
                .with_hint("give a data source, such as `DataSource::prefix(\"bucket/logs/\")`"));
        }
        let stored = self.core.stores_outcomes();
        if self.inputs.are_wanted() || self.core.plans_by_history(&self.options) || stored {
            return Ok(Box::pin(async move {
                let around = self.core.resolve_context();
                self.inputs = self.inputs.found(&self.options.objects, &around).await?;
                if stored {
                    return self.start_stored(by_key).await;
                }
                let earlier = self.core.earlier(entry, &self.options).await?;
                self.start_planned(earlier.as_ref(), by_key)
            }));
        }
        let earlier = self.core.known(entry, &self.options)?;
        let started = self.start_planned(earlier.as_ref(), by_key)?;
        Ok(Box::pin(async move { Ok(started) }))
    }

    /// Starts the maps on a backend where every job is stored before it starts. The reduction is stored when
    /// the maps are done.
    async fn start_stored(self, by_key: bool) -> Result<Arc<JobState>> {
        let (entry, reducer) = self.checked()?;
        let groups = self.inputs.parts_by_object().filter(|_| by_key);
        let options = JobOptions { chunksize: None, max_cost: None, ..self.options.clone() };
        let reductions = groups.as_ref().map_or(1, |groups| groups.len() as u64);
        // The reducer is checked first: if it is refused, no map runs.
        let deferred_reduce = DeferredReduce::new(&self.core, reducer, options, reductions)?;
        let (queue, known) = (Arc::new(InputQueue::default()), self.inputs.exact_len());
        let sources = self.inputs.sources();
        encode_inputs::produce(self.inputs, entry.display_name(), &queue);
        let (core, shared, options) = (self.core, self.shared_values?.0, self.options);
        let maps = Arc::clone(&core).start_durable(entry, options.clone(), shared, known, queue).await?;
        maps.set_sources(sources);
        repeat::stored(&core, &maps, Some(options));
        let (reduce, reducer_queue) = (deferred_reduce.job(), Arc::new(InputQueue::default()));
        reduce.set_before(&maps);
        let (gathered, wanted) = (Arc::clone(&maps), Arc::clone(&reducer_queue));
        let gathered = async move {
            match groups {
                Some(groups) => gather_by_key(&gathered, groups, &wanted).await,
                None => gather(&gathered, &wanted).await,
            }
        };
        deferred_reduce.start(maps, gathered, reducer_queue);
        Ok(reduce)
    }

    /// Checks the functions and the options, and returns the entries of the function and of the reducer.
    fn checked(&self) -> Result<(&'static Entry, &'static Entry)> {
        let function = |entry: &Result<&'static Entry>| entry.as_ref().copied().map_err(Error::again);
        let (entry, reducer) = (function(&self.entry)?, function(&self.reducer)?);
        if self.spawn_reducer > 100 {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("`spawn_reducer` is {}", self.spawn_reducer),
            )
            .with_hint("write a percentage from 0 to 100"));
        }
        if reducer.takes_object {
            let problem = format!("the reducer `{}` takes a `DataObject`", reducer.display_name());
            return Err(Error::new(ErrorKind::InvalidInput, problem)
                .with_hint("a reducer takes a `Vec` of what the function gives"));
        }
        Ok((entry, reducer))
    }

    /// Starts the reducer's job and the maps, and feeds the values of the maps to the reducer.
    fn start_planned(self, earlier: Option<&Measured>, by_key: bool) -> Result<Arc<JobState>> {
        let (entry, reducer) = self.checked()?;
        let groups = self.inputs.parts_by_object().filter(|_| by_key);
        let shared = self.shared_values?.0;
        // The reducer's job starts first: if it is refused, no map runs.
        let reducer_queue = Arc::new(InputQueue::default());
        let options = JobOptions { chunksize: None, max_cost: None, ..self.options.clone() };
        let reductions = groups.as_ref().map_or(1, |groups| groups.len() as u64);
        let reduce =
            self.core.start(reducer, &options, Vec::new(), Some(reductions), &reducer_queue, None)?;

        let queue = Arc::new(InputQueue::default());
        let known = self.inputs.exact_len();
        let maps = match self.core.start(entry, &self.options, shared.clone(), known, &queue, earlier) {
            Ok(maps) => maps,
            Err(error) => {
                reduce.cancel();
                return Err(error);
            }
        };
        maps.set_sources(self.inputs.sources());
        repeat::in_memory(&self.core, &maps, entry, self.options, shared);
        encode_inputs::produce(self.inputs, entry.display_name(), &queue);
        reduce.set_before(&maps);
        let reducing = Arc::clone(&reduce);
        runtime::driver().spawn(async move {
            let gathered = async {
                match groups {
                    Some(groups) => gather_by_key(&maps, groups, &reducer_queue).await,
                    None => gather(&maps, &reducer_queue).await,
                }
            };
            tokio::select! {
                gathered = gathered => reducer_queue.end(gathered.err()),
                // A reducer that ends before it has its input was cancelled, so the maps are cancelled too.
                _ = reducing.wait_for(|_, progress| progress.is_finished()) => maps.cancel(),
            }
        });
        Ok(reduce)
    }
}

/// Queues one argument for each object as soon as all parts of the object are done, in the order of the
/// objects. If a part has failed, the reduction of its object fails too; the other reductions go on.
async fn gather_by_key(maps: &JobState, groups: Vec<u64>, queue: &InputQueue) -> Result<()> {
    let mut next = 0;
    for parts in groups {
        let mut argument = array_of(parts as usize)?;
        let mut failed = None;
        for call in next..next + parts {
            maps.wait_for(|outcomes, progress| outcomes.done().contains(call) || progress.is_finished())
                .await?;
            maps.read(|outcomes| match outcomes.get(call) {
                Some((report, index)) if report.tag(index) == Tag::Ok => {
                    argument.extend_from_slice(report.value(index));
                }
                Some((report, index)) => {
                    failed.get_or_insert_with(|| {
                        encode_inputs::input_failed(&maps.call_error(outcomes, &report, index))
                    });
                }
                None => {}
            });
        }
        next += parts;
        check_size(argument.len())?;
        let wanted = match failed {
            Some(error) => queue.push_failed(error),
            None => queue.push(&argument),
        };
        if !wanted {
            break;
        }
    }
    Ok(())
}

/// The header of a MessagePack array of `values` values, in the form `array 32`, which is valid for any
/// length.
fn array_of(values: usize) -> Result<Vec<u8>> {
    let count = u32::try_from(values)
        .map_err(|_| Error::new(ErrorKind::PayloadTooLarge, "a reducer takes at most 4294967295 values"))?;
    let mut argument = vec![0xdd];
    argument.extend_from_slice(&count.to_be_bytes());
    Ok(argument)
}

fn check_size(bytes: usize) -> Result<()> {
    if bytes <= MAX_VALUE {
        return Ok(());
    }
    let problem =
        format!("the values for the reducer have {bytes} bytes together, and the limit is {MAX_VALUE}");
    Err(Error::new(ErrorKind::PayloadTooLarge, problem)
        .with_hint("let the function return less, or put values into the storage and return their names"))
}

/// Waits for all maps and queues their values as the single argument of the reducer, without decoding them.
async fn gather(maps: &JobState, queue: &InputQueue) -> Result<()> {
    maps.wait_for(|_, progress| progress.is_finished()).await?;
    let (reports, failed) = maps.read(|outcomes| {
        let reports: Vec<_> = outcomes.parts_from(0).iter().map(|part| part.report().clone()).collect();
        let failed = reports.iter().find_map(|report| {
            let index = (0..report.len()).find(|index| report.tag(*index) != Tag::Ok)?;
            Some(maps.call_error(outcomes, report, index))
        });
        (reports, failed)
    });
    if let Some(failed) = failed {
        return Err(Error::from(failed).with_hint("the reducer was not called"));
    }
    let count = reports.iter().map(crate::protocol::Report::len).sum::<usize>();
    let sizes = reports.iter().flat_map(|report| (0..report.len()).map(|index| report.value(index).len()));
    let bytes = sizes.sum::<usize>();
    check_size(bytes)?;
    let mut argument = array_of(count)?;
    argument.reserve(bytes);
    for report in &reports {
        (0..report.len()).for_each(|index| argument.extend_from_slice(report.value(index)));
    }
    queue.push(&argument);
    Ok(())
}

impl<T: Argument, S: TakesShared, R, RS, M: Mode> MapReduce<T, S, R, RS, M> {
    /// Sets the value of the mapped function's `Shared<T>` parameter, or a tuple of values for several.
    pub fn shared(self, value: S::Given) -> MapReduce<T, SharedGiven, R, RS, M> {
        let Self { core, entry, reducer, inputs, options, spawn_reducer, .. } = self;
        let shared_values = S::encode(&value);
        MapReduce { core, entry, reducer, inputs, options, shared_values, spawn_reducer, state: PhantomData }
    }
}

macro_rules! awaitable {
    ($($State:ty),*) => {$(
        impl<T: Argument, R: 'static> IntoFuture for MapReduce<T, $State, R, NoShared, Async> {
            type Output = Result<ResponseFuture<R, Async>>;
            type IntoFuture = BoxFuture<'static, Self::Output>;

            fn into_future(self) -> Self::IntoFuture {
                let started = self.start(false);
                Box::pin(async move { Ok(ResponseFuture::new(started?.await?, 0)) })
            }
        }

        impl<T: Argument, R: 'static> IntoFuture for MapReduceByKey<T, $State, R, NoShared, Async> {
            type Output = Result<FuturesList<R, Async>>;
            type IntoFuture = BoxFuture<'static, Self::Output>;

            fn into_future(self) -> Self::IntoFuture {
                let started = self.0.start(true);
                Box::pin(async move { Ok(FuturesList::new(started?.await?)) })
            }
        }
    )*};
}

awaitable!(NoShared, SharedGiven);

/// Never holds: it makes the compiler say which value is missing, where it would say "not a future".
impl<T, S: TakesShared + SharedReady, R, RS> Future for MapReduce<T, S, R, RS, Async> {
    type Output = Result<ResponseFuture<R, Async>>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Pending
    }
}

/// Never holds: it makes the compiler say which value is missing, where it would say "not a future".
impl<T, S: TakesShared + SharedReady, R, RS> Future for MapReduceByKey<T, S, R, RS, Async> {
    type Output = Result<FuturesList<R, Async>>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Pending
    }
}

impl<T: Argument, S: 'static, R: 'static, RS: 'static> MapReduce<T, S, R, RS, Blocking> {
    /// Starts the job.
    ///
    /// # Errors
    /// When an option is wrong, or what a function returns cannot be sent.
    pub fn run(self) -> Result<ResponseFuture<R, Blocking>>
    where
        S: SharedReady,
        RS: SharedReady,
    {
        refuse_inside_runtime()?;
        let started = mode::block_on(self.start(false)?)??;
        Ok(ResponseFuture::new(started, 0))
    }
}

/// A `map_reduce` with one reduction per object, before it is started: `.await?` (or `.run()?` in the
/// blocking form).
#[must_use = "a map_reduce starts when it is awaited, or with `.run()` in the blocking form"]
#[derive(Debug)]
pub struct MapReduceByKey<T, S, R, RS, M: Mode>(MapReduce<T, S, R, RS, M>);

impl<T: Argument, S: 'static, R: 'static, RS: 'static> MapReduceByKey<T, S, R, RS, Blocking> {
    /// Starts the job.
    ///
    /// # Errors
    /// When an option is wrong, or what a function returns cannot be sent.
    pub fn run(self) -> Result<FuturesList<R, Blocking>>
    where
        S: SharedReady,
        RS: SharedReady,
    {
        refuse_inside_runtime()?;
        let started = mode::block_on(self.0.start(true)?)??;
        Ok(FuturesList::new(started))
    }
}
