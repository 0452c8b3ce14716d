//! [`Events`]: the events of an executor's jobs.

use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{Stream, future::BoxFuture};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{
    executor::{
        api::{Async, Blocking, Mode},
        job::JobEvent,
    },
    fork, runtime,
};

type Waiting = BoxFuture<'static, (Receiver<JobEvent>, Option<JobEvent>)>;

/// The events of an executor's jobs since this value was made. An observer that falls far behind misses the
/// oldest events. The events end when the executor and its jobs are dropped.
pub struct Events<M: Mode> {
    waiting: Option<Waiting>,
    mode: PhantomData<M>,
}

impl<M: Mode> Events<M> {
    pub(crate) fn new(events: Receiver<JobEvent>) -> Self {
        Self { waiting: Some(Box::pin(next(events))), mode: PhantomData }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<JobEvent>> {
        let Some(waiting) = self.waiting.as_mut().filter(|_| !fork::is_copy()) else {
            return Poll::Ready(None);
        };
        let (events, event) = std::task::ready!(waiting.as_mut().poll(context));
        self.waiting = event.is_some().then(|| Box::pin(next(events)) as Waiting);
        Poll::Ready(event)
    }
}

async fn next(mut events: Receiver<JobEvent>) -> (Receiver<JobEvent>, Option<JobEvent>) {
    loop {
        match events.recv().await {
            Ok(event) => return (events, Some(event)),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return (events, None),
        }
    }
}

impl Events<Async> {
    /// Waits for the next event; `None` when there will be no more. No `StreamExt` is needed.
    pub async fn next(&mut self) -> Option<JobEvent> {
        std::future::poll_fn(|context| self.poll(context)).await
    }
}

impl Stream for Events<Async> {
    type Item = JobEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<JobEvent>> {
        self.poll(context)
    }
}

impl Iterator for Events<Blocking> {
    type Item = JobEvent;

    fn next(&mut self) -> Option<JobEvent> {
        runtime::driver().block_on(std::future::poll_fn(|context| self.poll(context)))
    }
}

impl<M: Mode> fmt::Debug for Events<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}
