//! The driver against workers that break the protocol.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use crate::{
    compute::{
        BackendInfo, CancelLevel, Capabilities, Check, CloseMode, ComputeBackend, Event, EventKind,
        ExitReason, Feed, FeedCommand, FeedSink, Granularity, Invocation, InvocationId, InvokeRequest,
        Package, Runtime, RuntimeId, RuntimeSpec, WaitingWorkers,
    },
    error::{CallErrorKind, Error, ErrorKind, Result},
    executor::{
        driver::*,
        job::{Commands, InputQueue, JobState},
    },
    id::{ActivationId, JobId},
    journal::Journal,
    plan::{Count, PlanRequest},
    protocol::{Calls, HEADER_LEN, JobSpec, Report, ReportBuilder, Run, Tag, blank_header, unstarted_report},
    storage::{MemoryStorage, StorageClient},
    tracker::Policy,
};

const CALLS: u64 = 20;
const JOB: JobId = JobId::from_bytes([7; 16]);

/// The events that a worker sends when it is given calls, from the number of its start and the calls.
type Play = fn(u64, &Calls) -> Vec<EventKind>;

struct Backend {
    capabilities: Capabilities,
    play: Play,
    /// At most this many workers can be started.
    room: u64,
    starts: AtomicU64,
    discarded: Mutex<Vec<InvocationId>>,
    /// Where workers send events whose channel has no way down: until they are dropped here, they run.
    running: Mutex<Vec<mpsc::UnboundedSender<Result<Event>>>>,
    /// How often workers were not needed any more that had not come.
    withdrawn: AtomicU64,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backend")
    }
}

struct Worker {
    number: u64,
    play: Play,
    events: mpsc::UnboundedSender<Result<Event>>,
}

impl FeedSink for Worker {
    fn send(&self, command: FeedCommand) {
        let kinds = match command {
            FeedCommand::Chunk(calls) => (self.play)(self.number, &calls),
            FeedCommand::Drain => vec![EventKind::Exited(ExitReason::Finished)],
            _ => Vec::new(),
        };
        for kind in kinds {
            // The job may be over.
            let _ = self.events.send(Ok(Event { activation: ActivationId(0), kind }));
        }
    }
}

#[async_trait]
impl ComputeBackend for Backend {
    fn info(&self) -> BackendInfo {
        BackendInfo { scheme: "played", region: None, location: "nowhere".into() }
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn build_runtime(&self, _: &RuntimeSpec) -> Result<Package> {
        Err(Error::new(ErrorKind::Unsupported, "no"))
    }

    async fn deploy_runtime(&self, _: &RuntimeSpec) -> Result<Runtime> {
        Err(Error::new(ErrorKind::Unsupported, "no"))
    }

    async fn list_runtimes(&self) -> Result<Vec<Runtime>> {
        Ok(Vec::new())
    }

    async fn delete_runtime(&self, _: &RuntimeId) -> Result<()> {
        Ok(())
    }

    async fn invoke(&self, request: InvokeRequest) -> Result<Invocation> {
        let number = self.starts.fetch_add(1, Ordering::Relaxed);
        if number >= self.room && self.capabilities.granularity != Granularity::Local {
            assert!(request.calls.is_empty(), "no call is bound to a worker that is not there");
            std::future::pending::<()>().await;
        }
        if number >= self.room {
            return Err(Error::new(ErrorKind::WorkerLost, "there is no room for a process"));
        }
        let (events, receiver) = mpsc::unbounded_channel();
        let worker = Worker { number, play: self.play, events };
        request.calls.into_iter().for_each(|calls| worker.send(FeedCommand::Chunk(calls)));
        let events =
            stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) });
        let id = InvocationId(number.to_string());
        if !self.capabilities.feed {
            self.running.lock().expect("no panic").push(worker.events);
            return Ok(Invocation { id, events: events.boxed(), feed: None });
        }
        Ok(Invocation { id, events: events.boxed(), feed: Some(Feed::new(Arc::new(worker))) })
    }

    fn awaited(&self) -> Vec<WaitingWorkers> {
        let count =
            usize::try_from(self.starts.load(Ordering::Relaxed).saturating_sub(self.room)).unwrap_or(0);
        vec![WaitingWorkers { count, why: "no node has room".into(), is_hopeless: false }]
    }

    async fn withdraw(&self) -> Result<()> {
        self.withdrawn.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn cancel(&self, _: &InvocationId) -> Result<()> {
        Ok(())
    }

    async fn discard(&self, id: &InvocationId) -> Result<()> {
        self.discarded.lock().expect("no panic").push(id.clone());
        Ok(())
    }

    async fn check(&self) -> Vec<Check> {
        Vec::new()
    }

    async fn close(&self, _: CloseMode) -> Result<()> {
        Ok(())
    }
}

/// A report in which each call returns a value of one byte.
fn report(run: Run, value: u8) -> EventKind {
    let mut builder = ReportBuilder::default();
    for _ in 0..run.count {
        builder.value().push(value);
        builder.end_call(Tag::Ok, 1, 2);
    }
    let mut frame = Vec::new();
    builder.drain_into(&blank_header(run), &mut frame);
    let body = bytes::Bytes::from(frame).slice(HEADER_LEN..);
    EventKind::Report(Box::new(Report::read(&body).expect("it was just written")))
}

struct Seen {
    job: Arc<JobState>,
    ended: Ended,
    backend: Arc<Backend>,
}

impl Seen {
    /// The value of every call; 0 for a call without an outcome.
    fn values(&self) -> Vec<u8> {
        (0..CALLS).map(|call| self.job.report_of(call).map_or(0, |report| report.value(0)[0])).collect()
    }

    fn starts(&self) -> u64 {
        self.backend.starts.load(Ordering::Relaxed)
    }

    async fn error(&self) -> String {
        let finished = self.job.wait_for(|_, progress| progress.is_finished()).await;
        finished.expect_err("the job has failed").to_string()
    }
}

async fn drive_against(play: Play, workers: usize, room: u64) -> Seen {
    drive_with_capabilities(play, workers, room, Capabilities::local(1)).await
}

/// Workers that are fed, and are started by a platform that may have no room.
async fn drive_pods(play: Play, workers: usize, room: u64) -> Seen {
    let capabilities = Capabilities { granularity: Granularity::Caas, ..Capabilities::local(1) };
    drive_with_capabilities(play, workers, room, capabilities).await
}

async fn drive_with_capabilities(play: Play, workers: usize, room: u64, capabilities: Capabilities) -> Seen {
    let capabilities = Capabilities { default_max_workers: workers, ..capabilities };
    let (assignment, backend, mut commands) = assignment(capabilities, play, workers, room);
    let job = Arc::clone(&assignment.job);
    // The virtual time runs on: a job that waits for ever fails here instead of hanging the test.
    let ended = tokio::time::timeout(Duration::from_secs(3600), drive(assignment, &mut commands)).await;
    Seen { job, ended: ended.expect("the job ends"), backend }
}

/// A job on workers that play, and the commands to its driver.
fn assignment(
    capabilities: Capabilities,
    play: Play,
    workers: usize,
    room: u64,
) -> (Assignment, Arc<Backend>, Commands) {
    let mut request = PlanRequest::new(CALLS, &capabilities);
    (request.max_workers, request.chunksize) = (Some(workers), Some(Count::Exactly(1)));
    let plan = request.plan().expect("a plan");
    let (discarded, starts) = (Mutex::default(), AtomicU64::new(0));
    let (running, withdrawn) = (Mutex::default(), AtomicU64::new(0));
    let backend = Arc::new(Backend { capabilities, play, room, starts, discarded, running, withdrawn });
    let (job, commands) = JobState::new(JOB, "played", plan.clone(), Some(CALLS));
    let job = Arc::new(job);
    let queue = Arc::new(InputQueue::default());
    (0..CALLS).for_each(|call| assert!(queue.push(&call.to_le_bytes()), "the queue is open"));
    queue.end(None);
    let spec = JobSpec {
        job: JOB,
        function: "played".into(),
        worker_processes: 1,
        timeout: None,
        at_most_once: false,
        env: Vec::new(),
        shared: Vec::new(),
        stored_shared: Vec::new(),
        inline_limit: None,
        storage: None,
        log_limit: 0,
        live_logs: false,
        durable: None,
        depth: 0,
        parent: None,
    };
    let assignment = Assignment {
        job: Arc::clone(&job),
        spec: Arc::new(spec),
        backend: Arc::clone(&backend) as Arc<dyn ComputeBackend>,
        queue,
        policy: Policy::default(),
        retry_if: None,
        speculate: false,
        plan,
        durable: None,
        payload_store: None,
        learn: None,
        stop: None,
    };
    (assignment, backend, commands)
}

#[tokio::test(start_paused = true)]
async fn workers_that_cannot_be_told_to_end_find_a_mark_until_they_have_ended() {
    for interrupted in [false, true] {
        let storage = StorageClient::new(Arc::new(MemoryStorage::default()), "bucket");
        let journal = Journal::new(&storage, JOB);
        let capabilities = Capabilities {
            feed: false,
            cancel: CancelLevel::None,
            timeout_limit: Some(Duration::from_secs(900)),
            ..Capabilities::local(1)
        };
        let (mut assignment, backend, mut commands) = assignment(capabilities, |_, _| Vec::new(), 2, 2);
        assignment.payload_store =
            Some(PayloadStore::new(1 << 20, "played", Some(storage.clone()), journal.clone()));
        let job = Arc::clone(&assignment.job);
        let driven = tokio::spawn(async move { drive(assignment, &mut commands).await });
        while backend.running.lock().expect("no panic").len() < 2 {
            tokio::task::yield_now().await;
        }
        if interrupted {
            job.interrupt()
        } else {
            job.cancel()
        }
        let ended = driven.await.expect("no panic");
        assert_eq!(ended, if interrupted { Ended::Stopped } else { Ended::Finished });
        while !journal.is_stopped().await.expect("the storage answers") {
            tokio::task::yield_now().await;
        }
        backend.running.lock().expect("no panic").pop();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(journal.is_stopped().await.expect("the storage answers"), "one of them runs on");
        backend.running.lock().expect("no panic").clear();
        while !storage.list_keys("bucket", "").await.expect("a list").is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

fn strange(run: Run, first: u64, attempt: u32) -> Run {
    Run { first, attempt, count: 1, activation: ActivationId(u64::MAX), offset: 7, ..run }
}

#[tokio::test(start_paused = true)]
async fn calls_that_a_worker_was_not_given_are_not_taken_from_it() {
    // The first worker answers wrongly for others; the next ones are honest.
    let lies: [Play; 4] = [
        |start, calls| tell(start, calls, |run| strange(run, 1_000_000, 1)),
        |start, calls| tell(start, calls, |run| strange(run, CALLS - 1, 1)),
        |start, calls| tell(start, calls, |run| strange(run, run.first, 9)),
        |start, calls| tell(start, calls, |run| strange(run, u64::MAX - 1, 1)),
    ];
    for (lie, play) in lies.into_iter().enumerate() {
        let seen = drive_against(play, 1, u64::MAX).await;
        assert_eq!(seen.ended, Ended::Finished, "lie {lie}");
        assert_eq!(seen.values(), vec![b'r'; 20], "lie {lie}");
        assert_eq!(seen.starts(), 2, "lie {lie}");
        while seen.backend.discarded.lock().expect("no panic").is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            *seen.backend.discarded.lock().expect("no panic"),
            [InvocationId("0".into())],
            "lie {lie}"
        );
    }
}

fn tell(start: u64, calls: &Calls, lie: fn(Run) -> Run) -> Vec<EventKind> {
    match start {
        0 => vec![report(lie(calls.run), b'w'), report(calls.run, b'w')],
        _ => vec![report(calls.run, b'r')],
    }
}

#[tokio::test(start_paused = true)]
async fn workers_that_all_lie_end_the_job() {
    let play: Play = |_, calls| vec![report(strange(calls.run, CALLS - 1, 1), b'w')];
    let seen = drive_against(play, 1, u64::MAX).await;
    assert_eq!(seen.ended, Ended::Failed);
    assert!(seen.starts() <= 5, "{} starts", seen.starts());
    let error = seen.error().await;
    assert!(error.contains("call 19 on attempt 1, which it was not given"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_report_that_comes_twice_is_no_lie() {
    let play: Play = |_, calls| {
        vec![
            report(calls.run, b'r'),
            report(calls.run, b'w'),
            report(strange(calls.run, calls.run.first, 9), b'w'),
        ]
    };
    let seen = drive_against(play, 1, u64::MAX).await;
    assert_eq!((seen.ended, seen.starts()), (Ended::Finished, 1));
    assert_eq!(seen.values(), vec![b'r'; 20]);
}

#[tokio::test(start_paused = true)]
async fn calls_that_always_come_back_end_the_job() {
    let play: Play = |_, calls| vec![EventKind::Report(Box::new(unstarted_report(calls.run)))];
    let seen = drive_against(play, 1, u64::MAX).await;
    assert_eq!(seen.ended, Ended::Failed);
    let error = seen.error().await;
    assert!(error.contains("began none"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn workers_that_never_come_up_are_not_started_without_end() {
    let play: Play =
        |_, _| vec![EventKind::Exited(ExitReason::NotStarted("its worker exited with code 0".into()))];
    for workers in [1, 4] {
        let seen = drive_against(play, workers, u64::MAX).await;
        assert_eq!(seen.ended, Ended::Failed);
        assert!((5..=20).contains(&seen.starts()), "{} starts", seen.starts());
        let error = seen.error().await;
        assert!(error.contains("in a row ended") && error.contains("exited with code 0"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn workers_that_come_up_and_die_are_not_started_without_end() {
    let play: Play = |_, _| vec![EventKind::Started, EventKind::Exited(ExitReason::Lost("it died".into()))];
    let seen = drive_against(play, 1, u64::MAX).await;
    assert!(seen.starts() <= 60, "{} starts", seen.starts());
    let failed = seen
        .job
        .report_of(0)
        .map(|report| seen.job.read(|outcomes| seen.job.call_error(outcomes, &report, 0)));
    match failed {
        Some(error) if seen.ended == Ended::Finished => assert_eq!(*error.kind(), CallErrorKind::WorkerLost),
        _ => assert!(seen.error().await.contains("it died")),
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_taken_in_for_want_of_something_here_ends_the_job() {
    let play: Play = |_, _| vec![EventKind::Exited(ExitReason::Broken("there is no memory here".into()))];
    let seen = drive_against(play, 1, u64::MAX).await;
    assert_eq!((seen.ended, seen.starts()), (Ended::Failed, 1));
    assert!(seen.error().await.contains("there is no memory here"));
}

#[tokio::test(start_paused = true)]
async fn that_one_more_worker_cannot_be_started_is_no_end_of_those_that_are_there() {
    let play: Play = |_, calls| vec![report(calls.run, b'r')];
    let seen = drive_against(play, 8, 1).await;
    assert_eq!((seen.ended, seen.values()), (Ended::Finished, vec![b'r'; 20]));
    let seen = drive_against(play, 8, 0).await;
    assert_eq!(seen.ended, Ended::Failed);
    assert!(seen.error().await.contains("no room for a process"));
    // As above, where the worker itself says that it cannot work.
    let play: Play = |start, calls| match start {
        0 => vec![report(calls.run, b'r')],
        _ => vec![EventKind::Exited(ExitReason::Refused("it has no descriptors".into()))],
    };
    let seen = drive_against(play, 8, u64::MAX).await;
    assert_eq!((seen.ended, seen.values()), (Ended::Finished, vec![b'r'; 20]));
}

#[tokio::test(start_paused = true)]
async fn calls_wait_for_no_worker_that_has_no_room() {
    let play: Play = |_, calls| vec![report(calls.run, b'r')];
    // Two of eight come: they do the calls of all.
    let seen = drive_pods(play, 8, 2).await;
    assert_eq!((seen.ended, seen.values()), (Ended::Finished, vec![b'r'; 20]));
    while seen.backend.withdrawn.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    let seen = drive_pods(play, 8, u64::MAX).await;
    assert_eq!((seen.ended, seen.values(), seen.starts()), (Ended::Finished, vec![b'r'; 20], 8));
    assert_eq!(seen.backend.withdrawn.load(Ordering::Relaxed), 0, "all have come");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_leaves_is_given_nothing_more_and_another_takes_its_place() {
    // The first worker hands back all that it has, and would do so for ever.
    let play: Play = |start, calls| match start {
        0 => vec![EventKind::Leaving, EventKind::Report(Box::new(unstarted_report(calls.run)))],
        _ => vec![report(calls.run, b'r')],
    };
    for drive in [0, 1] {
        let seen = match drive {
            0 => drive_against(play, 1, u64::MAX).await,
            _ => drive_pods(play, 1, u64::MAX).await,
        };
        assert_eq!((seen.ended, seen.values()), (Ended::Finished, vec![b'r'; 20]));
        assert_eq!(seen.starts(), 2);
    }
}
