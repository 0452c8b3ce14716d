//! One activation: the frames of a request become calls of the pool, and the reports of the pool become the answer.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use lithops_core::{
    artifact::ProgramRef,
    compute::{EventKind, ExitReason, FeedCommand, Invocation, InvokeRequest},
    error::{Error, ErrorKind, Result},
    protocol::{Calls, Envelope, Frame, FrameKind, FrameReader, Hello, JobSpec, StoredCalls},
    tracker::Ranges,
};
use tokio::sync::mpsc;

use super::{
    response::{Response, ended},
    warm_pool::{WarmPool, exit_reason},
};

/// How many pieces of an answer may wait to be sent, before the activation waits itself: pieces are small, and the
/// platform takes them faster than calls end.
const PIECES: usize = 64;

/// An answer, in pieces of whole frames. The last piece says how the activation ended.
#[derive(Debug)]
pub(in crate::transport) struct Pieces(mpsc::Receiver<Bytes>);

impl Pieces {
    /// All pieces together, once the last has come.
    pub(in crate::transport) async fn collect(mut self) -> Vec<u8> {
        let mut frames = Vec::new();
        while let Some(piece) = self.0.recv().await {
            frames.extend_from_slice(&piece);
        }
        frames
    }
}

impl Stream for Pieces {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|piece| piece.map(Ok))
    }
}

/// Begins an activation that the platform ends at `deadline`.
pub(in crate::transport) fn begin(warm: Arc<WarmPool>, request: &Envelope, deadline: SystemTime) -> Pieces {
    let (sender, pieces) = mpsc::channel(PIECES);
    let (stream, frames) = (request.stream, request.open());
    tokio::spawn(async move {
        let activation = async {
            let request = ActivationRequest::read(&frames?).await?;
            run(&warm, request, stream, deadline, &sender).await
        };
        let reason = activation.await.unwrap_or_else(|error| exit_reason(&error));
        // The receiver is dropped when the platform has closed the connection: then the answer has no reader.
        let _ = sender.send(ended(&reason).into()).await;
    });
    Pieces(pieces)
}

/// The content of a request.
struct ActivationRequest {
    running: ProgramRef,
    spec: Arc<JobSpec>,
    calls: Vec<Calls>,
    stored: Vec<StoredCalls>,
}

impl ActivationRequest {
    async fn read(mut bytes: &[u8]) -> Result<Self> {
        let mut frames = FrameReader::new(&mut bytes);
        let hello = frames.next().await?.ok_or_else(|| unexpected("nothing"))?;
        Hello::read(&hello)?;
        let running = one(frames.next().await?, FrameKind::Running)?.decode()?;
        let spec = one(frames.next().await?, FrameKind::Job)?.decode()?;
        let mut request = Self { running, spec: Arc::new(spec), calls: Vec::new(), stored: Vec::new() };
        while let Some(frame) = frames.next().await? {
            match frame.kind {
                FrameKind::Calls => request.calls.push(Calls::read(&frame.body)?),
                FrameKind::StoredCalls => request.stored.push(StoredCalls::read(&frame)?),
                kind => return Err(unexpected(&format!("a {kind:?} frame"))),
            }
        }
        Ok(request)
    }

    /// The calls whose outcomes the answer must have.
    fn open(&self) -> Ranges {
        let mut open = Ranges::default();
        let stored = self.stored.iter().map(|stored| stored.run);
        for run in self.calls.iter().map(|calls| calls.run).chain(stored) {
            open.insert(run.first, run.end());
        }
        open
    }
}

/// Runs the calls of a request, and sends the pieces of its answer but the last. Returns how the pool ended, or why the
/// activation cannot go on.
async fn run(
    warm: &WarmPool,
    request: ActivationRequest,
    stream: bool,
    deadline: SystemTime,
    answer: &mpsc::Sender<Bytes>,
) -> Result<ExitReason> {
    let mut open = request.open();
    let limit = if stream { warm.stream_limit } else { request.running.answer_limit };
    let mut response = Response::new(&request.spec, open.len(), limit);
    let pool = warm.pool(&request.running).await?;
    // Only now: to fetch the program has taken some of the time.
    let left = deadline.duration_since(SystemTime::now()).unwrap_or(Duration::from_millis(1));
    let mut invoke = InvokeRequest::new(Arc::clone(&request.spec), request.calls.clone());
    invoke.stored = request.stored.clone();
    invoke.time_limit = Some(left);
    let Some(Invocation { mut events, feed, .. }) = pool.invoke(&invoke)? else {
        return Ok(pool.ended().unwrap_or_else(|| ExitReason::Lost("its pool has just ended".to_owned())));
    };
    while let Some(event) = events.next().await {
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
        // The calls run to their end even when the connection is closed: the platform does not end the activation, and
        // durable outcomes are stored.
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

fn one(frame: Option<Frame>, kind: FrameKind) -> Result<Frame> {
    match frame {
        Some(frame) if frame.kind == kind => Ok(frame),
        Some(frame) => Err(unexpected(&format!("a {:?} frame in the place of {kind:?}", frame.kind))),
        None => Err(unexpected(&format!("no {kind:?} frame"))),
    }
}

fn unexpected(what: &str) -> Error {
    Error::new(ErrorKind::Unexpected, format!("the worker was sent {what}"))
        .with_hint("client and function must be of one version: deploy the runtime again")
}
