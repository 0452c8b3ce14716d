//! The client of a fleet on a platform that does not always start workers.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use super::{
    durable_job::{JobResources, Leadership},
    fleet_driver::FleetDriver,
    start::plan_of,
};
use crate::{
    board::LeaseConfig,
    compute::{
        BackendInfo, Capabilities, Check, CloseMode, ComputeBackend, Invocation, InvocationId, InvokeRequest,
        Package, Runtime, RuntimeId, RuntimeSpec, Scaled, WaitingWorkers, WorkerEnd,
    },
    digest::Digest,
    error::{Error, ErrorKind, Result, Retry},
    executor::{
        driver::Ended,
        job::{JobEvent, JobState},
    },
    fleet::ClientFleet,
    id::JobId,
    journal::{ChunkOutcomes, JobRecord, Journal, Owner, Segment, Waiting},
    protocol::{JobSpec, Launch, failed_together},
    storage::{Locator, MemoryStorage, StorageClient},
    tracker::Policy,
};

/// The answer to a request for workers, by the time since the job began; `None` is a success.
type Answers = fn(Duration) -> Option<Result<Scaled>>;

/// A platform whose workers end the job's only chunk as soon as they are started.
struct Platform {
    capabilities: Capabilities,
    answers: Answers,
    /// The pause between two words that a worker has ended.
    tells: Duration,
    begun: Instant,
    requests: AtomicU64,
    journal: Journal,
    /// What the job said at each request of workers that wait, without repetitions.
    said: Mutex<Vec<Option<Waiting>>>,
}

impl fmt::Debug for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Platform")
    }
}

fn unsupported<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Unsupported, "no"))
}

#[async_trait]
impl ComputeBackend for Platform {
    fn info(&self) -> BackendInfo {
        BackendInfo { scheme: "platform", region: None, location: "nowhere".into() }
    }
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }
    async fn build_runtime(&self, _: &RuntimeSpec) -> Result<Package> {
        unsupported()
    }
    async fn deploy_runtime(&self, _: &RuntimeSpec) -> Result<Runtime> {
        unsupported()
    }
    async fn list_runtimes(&self) -> Result<Vec<Runtime>> {
        unsupported()
    }
    async fn delete_runtime(&self, _: &RuntimeId) -> Result<()> {
        unsupported()
    }
    async fn invoke(&self, _: InvokeRequest) -> Result<Invocation> {
        unsupported()
    }
    async fn scale(&self, _: &Launch, _: usize) -> Result<Scaled> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let now = self.journal.waiting().await?;
        {
            let mut said = self.said.lock().expect("not poisoned");
            said.push(now);
            said.dedup();
        }
        if let Some(answer) = (self.answers)(self.begun.elapsed()) {
            return answer;
        }
        let reports = failed_together(self.journal.job(), vec![(0, 1)], b"x").collect();
        self.journal.commit(0, (0, 1), &ChunkOutcomes { logs: Vec::new(), reports }).await?;
        Ok(Scaled::live(vec!["worker".into()]))
    }
    fn fleet_changes(&self, _: &Launch) -> BoxStream<'static, ()> {
        let pause = self.tells;
        stream::repeat(()).then(move |()| sleep(pause)).boxed()
    }
    async fn cancel(&self, _: &InvocationId) -> Result<()> {
        Ok(())
    }
    async fn check(&self) -> Vec<Check> {
        Vec::new()
    }
    async fn close(&self, _: CloseMode) -> Result<()> {
        Ok(())
    }
}

struct Gathered {
    ended: Ended,
    error: Option<Error>,
    requests: u64,
    lasted: Duration,
    /// What the events say of workers that wait, and how many workers were lost.
    waiting: Vec<(usize, String)>,
    /// The same as other programs see it.
    said: Vec<Option<Waiting>>,
    lost: u64,
    /// The names of the workers of which the storage has how they ended.
    ends: Vec<String>,
    /// What the events say of the workers' cost.
    spending: Vec<String>,
}

/// Runs a job of one call to its end, on a platform that only answers.
async fn gather(answers: Answers) -> Gathered {
    gather_told(Duration::from_secs(1 << 30), answers).await
}

/// Runs a job of one call to its end, on a platform that tells so often that a worker has ended.
async fn gather_told(tells: Duration, answers: Answers) -> Gathered {
    let storage = StorageClient::new(Arc::new(MemoryStorage::default()), "bucket");
    let journal = Journal::new(&storage, JobId::generate());
    let record = JobRecord {
        form: JobRecord::FORM,
        job: journal.job(),
        function: "f".into(),
        function_name: "f".into(),
        calls: 1,
        chunksize: 1,
        worker_processes: 1,
        segments: vec![Segment { calls: 1, len: 12, digest: Digest::of(b"an input") }],
        shared: Vec::new(),
        policy: Policy::default(),
        timeout: None,
        env: Vec::new(),
        backend: "platform".into(),
        owner: Owner::this_process(),
        memory: None,
        created: 0,
    };
    journal.put_record(&record).await.expect("stored");
    let spec = JobSpec::blank(record.job);
    let begun = Instant::now();
    let platform = Arc::new(Platform {
        capabilities: Capabilities { pull: Some(LeaseConfig::default()), ..Capabilities::local(1) },
        answers,
        tells,
        begun,
        requests: AtomicU64::new(0),
        journal: journal.clone(),
        said: Mutex::default(),
    });
    let plan = plan_of(&record, 4);
    let client_fleet = ClientFleet::new(&storage, &Locator::new("memory", "bucket"), LeaseConfig::default());
    let resources = JobResources {
        backend: Arc::clone(&platform) as Arc<dyn ComputeBackend>,
        spec: Arc::new(spec),
        plan: plan.clone(),
        speculate: false,
        learn: None,
        payload_store: None,
        client_fleet: Some(Arc::new(client_fleet.expect("a fleet"))),
    };
    let (job, mut commands) = JobState::new(record.job, "f", plan, Some(1));
    let (observers, mut events) = tokio::sync::broadcast::channel(4096);
    let job = Arc::new(job.observed_by(observers));
    let owner = Owner::this_process();
    let leadership =
        Leadership { journal, record, job: Arc::clone(&job), resources: Ok(resources), owner, cleanup: None };
    let resources = leadership.resources.as_ref().expect("means");
    let (_running, mut stop) = oneshot::channel();
    let client_fleet = resources.client_fleet.as_ref().expect("a fleet");
    let ended = FleetDriver::new(&leadership, resources, client_fleet).gather(&mut commands, &mut stop).await;
    let error = job.wait_for(|_, progress| progress.is_finished()).await.err();
    let requests = platform.requests.load(Ordering::Relaxed);
    let (mut waiting, mut spending) = (Vec::new(), Vec::new());
    while let Ok(event) = events.try_recv() {
        match event {
            JobEvent::Waiting { workers, why, .. } => waiting.push((workers, why)),
            JobEvent::Spending { spending: now, .. } => spending.push(now.to_string()),
            _ => {}
        }
    }
    let lost = job.progress().lost_workers;
    let said = platform.said.lock().expect("not poisoned").clone();
    let keys = storage.list_keys("bucket", "lithops.fleets/").await.expect("a list");
    let ends = keys.iter().filter_map(|key| Some(key.split_once("/ended/")?.1.to_owned())).collect();
    Gathered { ended, error, requests, lasted: begun.elapsed(), waiting, said, lost, ends, spending }
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_starts_workers_after_a_while_ends_no_job_and_is_asked_ever_less_often() {
    let answers: [Answers; 3] = [
        |since| {
            (since < Duration::from_secs(15))
                .then(|| Err(Error::new(ErrorKind::Io, "it answered 503").with_retry(Retry::Later)))
        },
        |since| {
            (since < Duration::from_secs(15))
                .then(|| Err(Error::new(ErrorKind::Timeout, "nothing was answered")))
        },
        // A platform that limits requests is reachable, so it is not given up.
        |since| {
            (since < Duration::from_secs(600))
                .then(|| Err(Error::new(ErrorKind::RateLimited, "it answered 429")))
        },
    ];
    for answers in answers {
        let gathered = gather(answers).await;
        assert_eq!(gathered.ended, Ended::Finished, "{:?}", gathered.error);
        assert!(gathered.lasted >= Duration::from_secs(15), "{:?}", gathered.lasted);
        assert!((4..40).contains(&gathered.requests), "{} requests", gathered.requests);
    }
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_never_answers_is_given_up_with_what_it_said_last() {
    let gathered =
        gather(|_| Some(Err(Error::new(ErrorKind::Io, "it answered 503").with_retry(Retry::Later)))).await;
    let error = gathered.error.expect("it fails");
    assert_eq!(gathered.ended, Ended::Failed);
    assert!(error.to_string().contains("the last was: it answered 503"), "{error}");
    assert!((20..=60).contains(&gathered.lasted.as_secs()), "{:?}", gathered.lasted);
}

#[tokio::test(start_paused = true)]
async fn what_can_never_work_ends_the_job_at_once() {
    let gathered =
        gather(|_| Some(Err(Error::new(ErrorKind::PermissionDenied, "not allowed to scale")))).await;
    assert_eq!((gathered.ended, gathered.requests), (Ended::Failed, 1));
    assert_eq!(gathered.error.expect("it fails").kind(), ErrorKind::PermissionDenied);
}

fn waiting(count: usize, why: &str, is_hopeless: bool) -> Scaled {
    let waiting = vec![WaitingWorkers { count, why: why.into(), is_hopeless }];
    Scaled { waiting, ..Scaled::default() }
}

#[tokio::test(start_paused = true)]
async fn what_waits_says_why_and_ends_no_job() {
    // An hour without room is no failure.
    let gathered = gather(|since| {
        let wanted = if since < Duration::from_secs(1800) { 7 } else { 3 };
        (since < Duration::from_secs(3600)).then(|| Ok(waiting(wanted, "Insufficient cpu", false)))
    })
    .await;
    assert_eq!(gathered.ended, Ended::Finished, "{:?}", gathered.error);
    assert!(gathered.lasted >= Duration::from_secs(3600));
    let told: Vec<_> = gathered.waiting.iter().map(|(workers, why)| (*workers, why.as_str())).collect();
    assert_eq!(told, [(7, "Insufficient cpu"), (0, "")], "once for each reason");
    let said = |workers| Some(Waiting { workers, why: "Insufficient cpu".into() });
    assert_eq!(gathered.said, [None, said(7), said(3)]);
}

#[tokio::test(start_paused = true)]
async fn what_can_never_start_and_who_cannot_serve_end_the_job_with_their_words() {
    let gathered = gather(|_| Some(Ok(waiting(4, "image not found", true)))).await;
    assert_eq!((gathered.ended, gathered.requests), (Ended::Failed, 1));
    let error = gathered.error.expect("it fails").to_string();
    assert!(error.contains("4 workers of the fleet can never start: image not found"), "{error}");

    let gathered = gather(|_| {
        let ended = vec![("w".to_owned(), WorkerEnd::Refused("the bucket is not mine".to_owned()))];
        Some(Ok(Scaled { ended, ..Scaled::default() }))
    })
    .await;
    assert_eq!(gathered.ended, Ended::Failed);
    let error = gathered.error.expect("it fails").to_string();
    assert!(error.contains("a worker of the fleet cannot work: the bucket is not mine"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn workers_that_are_evicted_are_told_and_end_no_job() {
    let gathered = gather(|since| {
        let ended = vec![(format!("w-{}", since.as_secs()), WorkerEnd::Evicted)];
        (since < Duration::from_secs(20)).then(|| Ok(Scaled { ended, ..Scaled::default() }))
    })
    .await;
    assert_eq!(gathered.ended, Ended::Finished, "{:?}", gathered.error);
    assert!(gathered.lost >= 15, "{}", gathered.lost);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_has_ended_has_another_in_its_place_at_once() {
    let soon = Duration::from_millis(200);
    let gathered =
        gather_told(soon, |since| since.is_zero().then(|| Ok(Scaled::live(vec!["w".into()])))).await;
    assert_eq!((gathered.ended, gathered.requests), (Ended::Finished, 2));
    assert!(gathered.lasted < Duration::from_millis(500), "{:?}", gathered.lasted);
    // A pause that the platform has asked for is kept.
    let gathered = gather_told(soon, |since| {
        let pause = Some(Duration::from_secs(5));
        since.is_zero().then(|| Ok(Scaled { retry_after: pause, ..Scaled::live(vec!["w".into()]) }))
    })
    .await;
    assert_eq!(gathered.ended, Ended::Finished);
    assert!(gathered.lasted >= Duration::from_secs(5), "{:?}", gathered.lasted);
    // Until the commit is seen it is told of five ends more.
    assert!((2..=7).contains(&gathered.requests), "{}", gathered.requests);
}

#[tokio::test(start_paused = true)]
async fn workers_that_only_end_are_not_started_without_a_pause() {
    let gathered = gather_told(Duration::from_millis(10), |since| {
        Some(Ok(Scaled::live(vec![format!("w-{}", since.as_millis())])))
    })
    .await;
    assert_eq!(gathered.ended, Ended::Failed);
    assert!((15..=60).contains(&gathered.lasted.as_secs()), "{:?}", gathered.lasted);
    assert!(gathered.requests < 40, "{}", gathered.requests);
}

#[tokio::test(start_paused = true)]
async fn workers_that_took_too_much_memory_are_told_to_the_fleet() {
    let gathered = gather(|since| {
        let of = |name: &str, end| (name.to_owned(), end);
        let ended = vec![of("greedy", WorkerEnd::OutOfMemory), of("unlucky", WorkerEnd::Lost("why".into()))];
        (since < Duration::from_secs(1)).then(|| Ok(Scaled { ended, ..Scaled::default() }))
    })
    .await;
    assert_eq!(gathered.ended, Ended::Finished, "{:?}", gathered.error);
    assert_eq!((gathered.lost, gathered.ends), (2, vec!["greedy".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn what_workers_cost_is_told_while_they_run() {
    let gathered = gather(|since| {
        let live = ["a", "b"].map(str::to_owned).to_vec();
        let hour_usd = vec![("a".to_owned(), 3.6), ("b".to_owned(), 1.8)];
        (since < Duration::from_secs(25)).then(|| Ok(Scaled { live, hour_usd, ..Scaled::default() }))
    })
    .await;
    assert_eq!(gathered.ended, Ended::Finished, "{:?}", gathered.error);
    let told: Vec<_> = gathered.spending.iter().map(String::as_str).collect();
    assert_eq!(
        told,
        [
            "2 workers, $5.4000/h, $0 so far",
            "2 workers, $5.4000/h, $0.0150 so far",
            "2 workers, $5.4000/h, $0.0300 so far",
            "1 worker, $0/h, $0.0375 so far",
            "0 workers, $0/h, $0.0375 so far",
        ]
    );
}
