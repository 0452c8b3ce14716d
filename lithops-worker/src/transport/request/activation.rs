//! One activation: the frames of a request become calls of the pool, and the reports of the pool become the answer.

use std::{
    future,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::StreamExt;
use lithops_core::{
    compute::{EventKind, ExitReason, FeedCommand, Invocation, InvokeRequest},
    error::Result,
    journal::Journal,
    protocol::{Cancel, JobSpec},
    storage::StorageClient,
};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

use super::{
    activation_request::ActivationRequest,
    pieces::{PIECES, Pieces},
    response::{Response, ended},
    warm_pool::{WarmPool, exit_reason},
};

/// What a transport says of one activation.
#[derive(Debug)]
pub(in crate::transport) struct Terms<G> {
    /// Whether the answer is sent in pieces; otherwise it must fit into one message.
    pub(in crate::transport) stream: bool,
    /// When the platform ends the activation; `None` where it does not.
    pub(in crate::transport) deadline: Option<SystemTime>,
    /// Whether the calls are stopped when the answer has no reader any more. Otherwise they run to their end.
    pub(in crate::transport) needs_reader: bool,
    /// Holds, once the platform has told this process to leave, for how long calls may run on.
    pub(in crate::transport) leaving: Option<watch::Receiver<Option<Duration>>>,
    /// How often to look whether the client wants the calls no more; `None` where it has another way to say so.
    pub(in crate::transport) look: Option<Duration>,
    /// Dropped when another activation may begin.
    pub(in crate::transport) turn: G,
}

/// Begins an activation.
pub(in crate::transport) fn begin<G: Send + Sync + 'static>(
    warm: Arc<WarmPool>,
    request: impl Future<Output = Result<ActivationRequest>> + Send + 'static,
    terms: Terms<G>,
) -> Pieces {
    let (sender, pieces) = mpsc::channel(PIECES);
    tokio::spawn(async move {
        let activation = async { run(&warm, request.await?, &terms, &sender).await };
        let result = tokio::select! {
            result = activation => result,
            () = sender.closed(), if terms.needs_reader => Ok(ExitReason::Lost("its client has gone".to_owned())),
        };
        if terms.needs_reader && !matches!(result, Ok(ExitReason::Finished)) {
            // Calls may still run, which are of no use to anything any more.
            warm.stop().await;
        }
        let reason = result.unwrap_or_else(|error| exit_reason(&error));
        // The client may send the next request as soon as it knows of this end.
        drop(terms.turn);
        // The receiver is dropped when the platform has closed the connection: then the answer has no reader.
        let _ = sender.send(ended(&reason).into()).await;
    });
    Pieces::new(pieces)
}

/// Runs the calls of a request, and sends the pieces of its answer but the last. Returns how the pool ended, or why the
/// activation cannot go on.
async fn run<G>(
    warm: &WarmPool,
    request: ActivationRequest,
    terms: &Terms<G>,
    answer: &mpsc::Sender<Bytes>,
) -> Result<ExitReason> {
    let mut open = request.open();
    let limit = if terms.stream { warm.stream_limit } else { request.running.answer_limit };
    let mut response = Response::new(&request.spec, open.len(), limit);
    let pool = warm.pool(&request.running).await?;
    let mut invoke = InvokeRequest::new(Arc::clone(&request.spec), request.calls.clone());
    invoke.stored = request.stored.clone();
    // Only now: to fetch the program has taken some of the time.
    invoke.time_limit = terms
        .deadline
        .map(|deadline| deadline.duration_since(SystemTime::now()).unwrap_or(Duration::from_millis(1)));
    let Some(Invocation { mut events, feed, .. }) = pool.invoke(&invoke)? else {
        return Ok(pool.ended().unwrap_or_else(|| ExitReason::Lost("its pool has just ended".to_owned())));
    };
    let told = told_to_leave(terms.leaving.clone());
    let unwanted = unwanted(Arc::clone(&request.spec), terms.look);
    tokio::pin!(told, unwanted);
    let (mut stays, mut is_wanted) = (true, true);
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            grace = &mut told, if stays => {
                stays = false;
                pool.hand_back(request.spec.job, grace);
                continue;
            }
            () = &mut unwanted, if is_wanted => {
                is_wanted = false;
                if let Some(feed) = &feed {
                    let calls = vec![(0, u64::MAX)];
                    feed.send(FeedCommand::CancelCalls(Cancel { job: request.spec.job, calls }));
                    feed.send(FeedCommand::Drain);
                }
                continue;
            }
        };
        let Some(event) = event else { break };
        let frame = match event?.kind {
            EventKind::Report(report) => {
                open.remove(report.header.run.first, report.header.run.end());
                response.report(&report).await?
            }
            EventKind::StoredReport(stored) => {
                open.remove(stored.run.first, stored.run.end());
                let mut frame = Vec::new();
                stored.write(&mut frame)?;
                frame
            }
            EventKind::Logs(logs) => response.logs(logs)?,
            EventKind::Exited(reason) => return Ok(reason),
            _ => continue,
        };
        // Where no reader is needed the calls run to their end even when the connection is closed: the platform does not
        // end the activation, and durable outcomes are stored.
        let _ = answer.send(frame.into()).await;
        // All calls are reported: the pool is to send what is left of their logs, and let the job go.
        if open.is_empty()
            && let Some(feed) = &feed
        {
            feed.send(FeedCommand::Drain);
        }
    }
    Ok(ExitReason::Lost("its pool has ended without a word".to_owned()))
}

/// Waits until the storage says that the client wants the calls of the job no more. The first look is after the first pause,
/// so that short calls cost nothing.
async fn unwanted(spec: Arc<JobSpec>, look: Option<Duration>) {
    let Some(look) = look else { return future::pending().await };
    let mut opened = None;
    loop {
        sleep(look).await;
        let journal = opened.get_or_insert_with(|| {
            let storage = StorageClient::connect(spec.storage.as_ref()?).ok()?;
            Some(Journal::new(&storage, spec.job))
        });
        // A storage that the worker cannot open says nothing, and one that fails is asked again.
        let Some(journal) = journal else { return future::pending().await };
        if journal.is_stopped().await.is_ok_and(|is_stopped| is_stopped) {
            return;
        }
        // What is stored of a durable job that was cancelled is removed with its last handle, and the mark with it.
        if spec.durable.is_some() && journal.has_record().await.is_ok_and(|has_record| !has_record) {
            return;
        }
    }
}

/// Waits until this process is told to leave, and returns for how long calls may run on.
async fn told_to_leave(leaving: Option<watch::Receiver<Option<Duration>>>) -> Duration {
    let Some(mut leaving) = leaving else { return future::pending().await };
    match leaving.wait_for(Option::is_some).await.map(|grace| *grace) {
        Ok(Some(grace)) => grace,
        _ => future::pending().await,
    }
}
