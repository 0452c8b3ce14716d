//! One activation: the frames of a request become calls of the pool, and what the pool reports becomes the answer.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use lithops_core::{
    artifact::Running,
    compute::{EventKind, ExitReason, FeedCommand, Invocation, InvokeRequest},
    error::{Error, ErrorKind, Result},
    protocol::{Calls, Envelope, Frame, FrameKind, FrameReader, Hello, JobSpec, StoredCalls},
    tracker::Ranges,
};
use tokio::sync::mpsc;

use super::{
    answer::{Answer, ended},
    environment::{Environment, why},
};

/// So many pieces of an answer wait to be sent.
const PIECES: usize = 64;
/// What a stream may hold, however much that is of a whole.
const STREAM_LIMIT: u64 = 150 << 20;

/// An answer, in pieces of whole frames. The last is how it ended.
#[derive(Debug)]
pub(super) struct Pieces(mpsc::Receiver<Bytes>);

impl Pieces {
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        self.0.recv().await
    }
}

impl Stream for Pieces {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|piece| piece.map(Ok))
    }
}

/// Begins an activation that the platform ends at `deadline`.
pub(super) fn begin(environment: Arc<Environment>, request: &Envelope, deadline: SystemTime) -> Pieces {
    let (sender, pieces) = mpsc::channel(PIECES);
    let (stream, frames) = (request.stream, request.open());
    tokio::spawn(async move {
        let activation = async {
            let request = Request::read(&frames?).await?;
            run(&environment, request, stream, deadline, &sender).await
        };
        let reason = activation.await.unwrap_or_else(|error| why(&error));
        // Should nobody wait for the answer any more, nobody misses it.
        let _ = sender.send(ended(&reason).into()).await;
    });
    Pieces(pieces)
}

/// What a request says.
struct Request {
    running: Running,
    spec: Arc<JobSpec>,
    calls: Vec<Calls>,
    stored: Vec<StoredCalls>,
}

impl Request {
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

    /// The calls that are to be reported.
    fn open(&self) -> Ranges {
        let mut open = Ranges::default();
        let stored = self.stored.iter().map(|stored| stored.run);
        for run in self.calls.iter().map(|calls| calls.run).chain(stored) {
            open.insert(run.first, run.end());
        }
        open
    }
}

/// Runs the calls of a request. An error is why it cannot go on, here or anywhere.
async fn run(
    environment: &Environment,
    request: Request,
    stream: bool,
    deadline: SystemTime,
    answer: &mpsc::Sender<Bytes>,
) -> Result<ExitReason> {
    let mut open = request.open();
    let limit = if stream { STREAM_LIMIT } else { request.running.answer_limit };
    let mut within = Answer::new(&request.spec, open.len(), limit);
    let pool = environment.pool(&request.running).await?;
    // What it took to have the program is gone.
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
                within.report(&report).await?
            }
            EventKind::StoredReport(stored) => {
                open.remove(stored.run.first, stored.run.end());
                let mut frame = Vec::new();
                stored.write(&mut frame)?;
                frame
            }
            EventKind::Logs(logs) => within.logs(logs)?,
            EventKind::Exited(reason) => return Ok(reason),
            _ => continue,
        };
        // Nobody may wait for the answer any more; its calls run all the same, as the platform has it.
        let _ = answer.send(frame.into()).await;
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
