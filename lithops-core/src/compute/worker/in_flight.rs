//! [`InFlight`]: the requests that a client waits for, on platforms that are asked once for each activation.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{StreamExt, stream};
use tokio::{sync::mpsc, task::AbortHandle};

use crate::{
    compute::{Event, EventKind, ExitReason, Invocation, InvocationId},
    error::{Error, ErrorKind, Result},
    id::ActivationId,
};

/// The requests that a client waits for, at most `max_workers` of them: one for each worker.
#[derive(Debug)]
pub struct InFlight {
    max_workers: usize,
    requests: Arc<Mutex<HashMap<InvocationId, InFlightRequest>>>,
}

/// A request that the client waits for.
#[derive(Debug)]
struct InFlightRequest {
    task: AbortHandle,
    activation: ActivationId,
    events: EventSender,
}

/// Where the events of one activation go.
#[derive(Debug, Clone)]
pub struct EventSender(mpsc::UnboundedSender<Result<Event>>);

impl EventSender {
    /// Tells of an event. The job may have ended, so that no task receives it: then it is dropped.
    pub fn send(&self, event: Event) {
        let _ = self.0.send(Ok(event));
    }
}

impl InFlight {
    /// No request yet; at most `max_workers` at once.
    #[must_use]
    pub fn new(max_workers: usize) -> Self {
        Self { max_workers, requests: Arc::default() }
    }

    /// Runs a request of `activation` as a task of its own. `request` makes the future that sends all events but the last,
    /// and returns how the activation ended. It is not called when the request must wait. Dropping the events of the
    /// invocation does not end the request: that is a promise of [`ComputeBackend`](crate::compute::ComputeBackend).
    /// Must be called inside a runtime that stays.
    ///
    /// # Errors
    /// `RateLimited` when `max_workers` requests are in flight: the executor asks again when one has ended.
    pub fn spawn<R: Future<Output = ExitReason> + Send + 'static>(
        &self,
        id: InvocationId,
        activation: ActivationId,
        request: impl FnOnce(EventSender) -> R,
    ) -> Result<Invocation> {
        let mut requests = self.requests();
        if requests.len() >= self.max_workers {
            let problem = format!("{} workers are at work, which is `max_workers`", requests.len());
            return Err(Error::new(ErrorKind::RateLimited, problem));
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        let events = EventSender(sender);
        let request = request(events.clone());
        let to_cancel = events.clone();
        let (all, key) = (Arc::clone(&self.requests), id.clone());
        let task = tokio::spawn(async move {
            let reason = request.await;
            // The executor may ask for another activation as soon as it is told of this end.
            let known = all.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            // One that was cancelled at this moment has been told of already.
            if known.is_some() {
                events.send(Event { activation, kind: EventKind::Exited(reason) });
            }
        });
        let task = task.abort_handle();
        requests.insert(id.clone(), InFlightRequest { task, activation, events: to_cancel });
        drop(requests);
        let events =
            stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) });
        Ok(Invocation { id, events: events.boxed(), feed: None })
    }

    /// Stops waiting for a request, and returns whether the client waited for it. What the platform runs is not ended.
    pub fn abort(&self, id: &InvocationId) -> bool {
        self.requests().remove(id).map(|request| request.task.abort()).is_some()
    }

    /// Ends a request, where to stop waiting for it is enough for that. The activation has an end then; one that has ended
    /// before is none of them any more.
    pub fn cancel(&self, id: &InvocationId) {
        let Some(InFlightRequest { task, activation, events }) = self.requests().remove(id) else { return };
        task.abort();
        let reason = ExitReason::Lost("the activation was cancelled".to_owned());
        events.send(Event { activation, kind: EventKind::Exited(reason) });
    }

    /// Stops waiting for every request.
    pub fn abort_all(&self) {
        self.requests().drain().for_each(|(_, request)| request.task.abort());
    }

    fn requests(&self) -> MutexGuard<'_, HashMap<InvocationId, InFlightRequest>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    const ACTIVATION: ActivationId = ActivationId(4);

    fn id(number: u8) -> InvocationId {
        InvocationId(number.to_string())
    }

    /// A request that tells of its start, and ends when it is told how.
    fn request(
        ends: oneshot::Receiver<ExitReason>,
    ) -> impl FnOnce(EventSender) -> futures_util::future::BoxFuture<'static, ExitReason> {
        |events| {
            Box::pin(async move {
                events.send(Event { activation: ACTIVATION, kind: EventKind::Started });
                ends.await.unwrap_or_else(|_| ExitReason::Lost("the test has ended".to_owned()))
            })
        }
    }

    #[tokio::test]
    async fn an_activation_has_its_events_and_then_its_end_and_makes_room_before_it() {
        let in_flight = InFlight::new(1);
        let (end, ends) = oneshot::channel();
        let mut first = in_flight.spawn(id(1), ACTIVATION, request(ends)).expect("there is room");
        let refused = in_flight.spawn(id(2), ACTIVATION, |_| async {
            unreachable!("the request is not made");
        });
        assert_eq!(refused.expect_err("one is in flight").kind(), ErrorKind::RateLimited);
        let started = first.events.next().await.expect("an event").expect("no error");
        assert!(matches!(started.kind, EventKind::Started) && started.activation == ACTIVATION);
        end.send(ExitReason::Finished).expect("it waits");
        let ended = first.events.next().await.expect("an event").expect("no error");
        assert!(matches!(ended.kind, EventKind::Exited(ExitReason::Finished)), "{ended:?}");
        let (_end, ends) = oneshot::channel();
        in_flight.spawn(id(2), ACTIVATION, request(ends)).expect("the first has made room");
    }

    #[tokio::test]
    async fn an_activation_that_is_cancelled_has_an_end_and_one_that_has_ended_has_no_second() {
        let in_flight = InFlight::new(1);
        let (mut end, ends) = oneshot::channel();
        let cancelled = in_flight.spawn(id(1), ACTIVATION, request(ends)).expect("there is room");
        in_flight.cancel(&id(1));
        end.closed().await;
        let told: Vec<_> = cancelled.events.collect().await;
        let ends = |told: &[Result<Event>]| {
            told.iter().flatten().filter(|event| matches!(event.kind, EventKind::Exited(_))).count()
        };
        assert_eq!(ends(&told), 1, "{told:?}");
        let (end, done) = oneshot::channel();
        let mut ended = in_flight.spawn(id(2), ACTIVATION, request(done)).expect("there is room");
        end.send(ExitReason::Finished).expect("it waits");
        let mut told = Vec::new();
        while ends(&told) == 0 {
            told.push(ended.events.next().await.expect("an event"));
        }
        in_flight.cancel(&id(2));
        assert!(ended.events.next().await.is_none());
    }

    #[tokio::test]
    async fn events_that_are_dropped_end_no_request_and_an_abort_does() {
        let in_flight = InFlight::new(2);
        let (mut dropped_end, ends) = oneshot::channel();
        drop(in_flight.spawn(id(1), ACTIVATION, request(ends)).expect("there is room"));
        let (mut aborted_end, ends) = oneshot::channel();
        let aborted = in_flight.spawn(id(2), ACTIVATION, request(ends)).expect("there is room");
        assert!(in_flight.abort(&id(2)), "it was waited for");
        assert!(!in_flight.abort(&id(2)), "it is waited for no more");
        aborted_end.closed().await;
        // The stream ends without an end of the activation: the client does not know how it ended.
        let told: Vec<_> = aborted.events.collect().await;
        assert!(told.iter().flatten().all(|event| matches!(event.kind, EventKind::Started)), "{told:?}");
        assert!(!dropped_end.is_closed(), "the other request is still made");
        in_flight.abort_all();
        dropped_end.closed().await;
        assert!(in_flight.requests().is_empty());
    }
}
