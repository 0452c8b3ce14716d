//! [`Call`]: a job of one call, before it is started.

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
    options::{JobOptions, common_options, durable_options},
};
use crate::{
    error::{Error, ErrorKind, Result},
    executor::{
        core::Core,
        job::{InputQueue, encode_inputs},
        results::ResponseFuture,
    },
    function::{Argument, Entry, NoShared, SharedGiven, SharedReady, SharedValues, TakesShared},
    runtime,
};

/// A `call_async` before it is started: options, then `.await?` (or `.run()?` in the blocking form).
#[must_use = "a call starts when it is awaited, or with `.run()` in the blocking form"]
#[derive(Debug)]
pub struct Call<T, R, S, M: Mode> {
    core: Arc<Core>,
    entry: Result<&'static Entry>,
    input: T,
    options: JobOptions,
    shared_values: Result<SharedValues>,
    state: PhantomData<fn(S) -> (R, M)>,
}

impl<T: Argument, R, S, M: Mode> Call<T, R, S, M> {
    pub(crate) fn new(core: Arc<Core>, entry: Result<&'static Entry>, input: T) -> Self {
        let (options, shared_values) = (JobOptions::default(), Ok(SharedValues::default()));
        Self { core, entry, input, options, shared_values, state: PhantomData }
    }

    common_options!();
    durable_options!();

    /// Starts the call. The returned future waits until a durable call is stored; otherwise it is ready at
    /// once.
    fn start(self) -> Result<BoxFuture<'static, Result<ResponseFuture<R, M>>>>
    where
        R: 'static,
    {
        runtime::start()?;
        let entry = self.entry?;
        if entry.takes_object {
            let problem = format!("`{}` takes a `DataObject`, and one call has none", entry.display_name());
            return Err(Error::new(ErrorKind::InvalidInput, problem).with_hint(
                "call `map` with a data source, such as `DataSource::objects([\"bucket/key\"])`",
            ));
        }
        let queue = Arc::new(InputQueue::default());
        encode_inputs::produce_one(&self.input, entry.display_name(), &queue)?;
        let shared = self.shared_values?.0;
        if self.options.durable || self.core.stores_outcomes() {
            let stored = self.core.start_durable(entry, self.options, shared, Some(1), queue);
            return Ok(Box::pin(async move { Ok(ResponseFuture::new(stored.await?, 0)) }));
        }
        let job = self.core.start(entry, &self.options, shared, Some(1), &queue, None)?;
        let future = ResponseFuture::new(job, 0);
        Ok(Box::pin(async move { Ok(future) }))
    }
}

impl<T: Argument, R, S: TakesShared, M: Mode> Call<T, R, S, M> {
    /// Sets the value of the function's `Shared<T>` parameter, or a tuple of values for several.
    pub fn shared(self, value: S::Given) -> Call<T, R, SharedGiven, M> {
        let Self { core, entry, input, options, .. } = self;
        Call { core, entry, input, options, shared_values: S::encode(&value), state: PhantomData }
    }
}

macro_rules! awaitable {
    ($($State:ty),*) => {$(
        impl<T: Argument, R: 'static> IntoFuture for Call<T, R, $State, Async> {
            type Output = Result<ResponseFuture<R, Async>>;
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
impl<T, R, S: TakesShared + SharedReady> Future for Call<T, R, S, Async> {
    type Output = Result<ResponseFuture<R, Async>>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Pending
    }
}

impl<T: Argument, R: 'static, S> Call<T, R, S, Blocking> {
    /// Starts the call.
    ///
    /// # Errors
    /// When an option is wrong, or what the function returns cannot be sent.
    pub fn run(self) -> Result<ResponseFuture<R, Blocking>>
    where
        S: SharedReady,
    {
        refuse_inside_runtime()?;
        mode::block_on(self.start()?)?
    }
}
