//! What the client makes of the answers of a service: of those of workers, and of all that platforms answer in their place.

mod service {
    pub(crate) mod server;
    mod tls;
}

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use hyper::{HeaderMap, Version};
use lithops_activations::{Activation, Limits, Refusal, ServiceClient, ServiceRules};
use lithops_core::{
    artifact::{Artifact, ProgramRef, StoredProgram},
    compute::{Answer, EventKind, ExitReason, InFlight, InvocationId, InvokeRequest},
    digest::Digest,
    error::Result,
    id::{ActivationId, JobId},
    protocol::{
        Calls, Frame, FrameKind, Hello, JobSpec, Payloads, Role, Run, frame_header, unstarted_report,
    },
    storage::Locator,
};
use service::server::{Script, Server};

const JOB: JobId = JobId::from_bytes([7; 16]);

fn run() -> Run {
    Run { job: JOB, activation: ActivationId(3), offset: 0, chunksize: 2, attempt: 1, first: 0, count: 2 }
}

fn activation(start: Duration, silence: Duration) -> Activation {
    let artifact = Artifact { digest: Digest::of(b"program"), bytes: Bytes::from_static(b"program") };
    let running = ProgramRef {
        program: StoredProgram::of(&artifact),
        storage: Locator::new("memory", "bucket"),
        arguments: Vec::new(),
        answer_limit: 0,
    };
    let job = JobSpec {
        job: JOB,
        function: "f".into(),
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
    let calls = Calls { run: run(), batch: 0, queued_at: 0, arguments: Payloads::default() };
    let limits =
        Limits { start, heartbeat: Duration::from_secs(15), silence, run: Some(Duration::from_secs(7)) };
    Activation::new(&running, &InvokeRequest::new(Arc::new(job), vec![calls]), limits).expect("encoded")
}

fn patient() -> Activation {
    activation(Duration::from_secs(600), Duration::from_secs(600))
}

fn hello() -> Bytes {
    let mut frame = Vec::new();
    Hello::of(Role::Worker).write(&mut frame).expect("encoded");
    frame.into()
}

fn report() -> Bytes {
    let mut frame = Vec::new();
    unstarted_report(run()).write(&mut frame);
    frame.into()
}

fn heartbeat() -> Bytes {
    Bytes::copy_from_slice(&frame_header(FrameKind::Heartbeat, 0))
}

fn ended(reason: &ExitReason) -> Bytes {
    let mut frame = Vec::new();
    Frame::write(FrameKind::Ended, reason, &mut frame).expect("encoded");
    frame.into()
}

fn whole() -> Script {
    Script::Frames(vec![hello(), heartbeat(), report(), ended(&ExitReason::Finished)])
}

/// What the platform says, and what it was asked.
#[derive(Debug, Default)]
struct Rules {
    tokens: AtomicUsize,
    why: Mutex<Option<String>>,
    asked: AtomicBool,
}

#[async_trait]
impl ServiceRules for Rules {
    async fn headers(&self, refused: bool) -> Result<HeaderMap> {
        if refused {
            self.tokens.fetch_add(1, Ordering::SeqCst);
        }
        let token = format!("Bearer {}", self.tokens.load(Ordering::SeqCst));
        Ok([("authorization".parse().expect("a name"), token.parse().expect("a value"))]
            .into_iter()
            .collect())
    }

    fn judge(&self, refusal: &Refusal) -> Option<Answer> {
        let never_ran = refusal.text.contains("queue full");
        never_ran.then_some(Answer::Silent(ExitReason::Throttled(Duration::ZERO)))
    }

    async fn why_none_comes(&self) -> Option<String> {
        self.asked.store(true, Ordering::SeqCst);
        self.why.lock().expect("no panic").clone()
    }
}

/// Runs one activation; returns what its answer means, whether a worker said hello, and how many reports came.
async fn ask(client: &Arc<ServiceClient>, activation: Activation) -> (Answer, bool, usize) {
    ask_and(client, activation, || {}).await
}

/// The same, and does something when the beginning of the answer was read.
async fn ask_and(
    client: &Arc<ServiceClient>,
    activation: Activation,
    when_started: impl Fn(),
) -> (Answer, bool, usize) {
    let (in_flight, client, told) = (InFlight::new(1), Arc::clone(client), Arc::new(Mutex::new(None)));
    let answer = Arc::clone(&told);
    let invocation = in_flight.spawn(InvocationId("it".into()), activation.id, |events| async move {
        let answer = client.run(&activation, &events).await;
        *told.lock().expect("no panic") = Some(answer);
        ExitReason::Finished
    });
    let (mut started, mut reports) = (false, 0);
    let mut events = invocation.expect("there is room").events;
    while let Some(event) = events.next().await {
        match event.expect("an event").kind {
            EventKind::Started => {
                started = true;
                when_started();
            }
            EventKind::Report(report) => {
                assert_eq!(report.header.run, run());
                reports += 1;
            }
            _ => {}
        }
    }
    let answer = answer.lock().expect("no panic").take();
    (answer.expect("it has ended"), started, reports)
}

async fn asked_once(script: Script, http2: bool) -> (Answer, bool, usize) {
    let server = Server::start([script]).await;
    let client = ServiceClient::new(server.target(http2), Arc::new(Rules::default())).expect("a client");
    ask_and(&Arc::new(client), patient(), || server.read.notify_one()).await
}

#[tokio::test]
async fn an_answer_of_a_worker_becomes_events_and_its_end() {
    for http2 in [true, false] {
        let server = Server::start([whole(), whole()]).await;
        let rules = Arc::new(Rules::default());
        let client = Arc::new(ServiceClient::new(server.target(http2), rules).expect("a client"));
        for _ in 0..2 {
            assert_eq!(
                ask(&client, patient()).await,
                (Answer::Said(ExitReason::Finished), true, 1),
                "HTTP/2: {http2}"
            );
        }
        let came = server.came();
        for request in &came {
            assert_eq!(request.version == Version::HTTP_2, http2);
            assert_eq!((&*request.method, request.uri.path()), ("POST", "/v1/activation"));
            let host = request.uri.authority().map(|host| host.as_str());
            let host = host.or_else(|| request.headers.get("host")?.to_str().ok());
            assert_eq!(host, Some("service.example.com"), "the host of the connection is another");
            let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
            assert_eq!(header("authorization"), Some("Bearer 0"));
            assert_eq!(header("lithops-deadline-ms"), Some("7000"));
            assert_eq!(header("lithops-heartbeat-ms"), Some("15000"));
        }
        assert!(client.health().has_worked() || came.len() == 2);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_after_the_hello_is_a_lost_worker_and_before_it_an_unanswered_request() {
    for http2 in [true, false] {
        for begun in [vec![hello()], vec![hello(), report()]] {
            let reports = begun.len() - 1;
            let mut with_words = begun.clone();
            with_words.push(Bytes::from_static(b"activator request timeout"));
            let mut half = begun.clone();
            half.push(report().slice(..9));
            for script in [
                Script::Cut(begun.clone()),
                Script::Frames(begun),
                Script::Frames(with_words),
                Script::Frames(half),
            ] {
                let (answer, started, came) = asked_once(script, http2).await;
                assert!(matches!(answer, Answer::Said(ExitReason::Lost(_))), "{answer:?}");
                assert_eq!((started, came), (true, reports));
            }
        }
        let (answer, started, _) = asked_once(Script::Frames(Vec::new()), http2).await;
        assert!(matches!(answer, Answer::Silent(ExitReason::Unanswered(_))) && !started, "{answer:?}");
    }
}

#[tokio::test]
async fn what_the_platform_answers_in_the_place_of_a_worker_has_its_meaning() {
    let refused = |status, text| asked_once(Script::Refuse(status, &[], text), true);
    let (answer, ..) = refused(503, "pending request queue full").await;
    assert_eq!(
        answer,
        Answer::Silent(ExitReason::Throttled(Duration::ZERO)),
        "the platform's own rules come first"
    );
    let (answer, ..) = refused(504, "activator request timeout").await;
    let Answer::Said(ExitReason::Lost(words)) = answer else { panic!("{answer:?}") };
    assert!(words.contains("504") && words.contains("activator request timeout"), "{words}");
    assert!(matches!(refused(502, "EOF").await.0, Answer::Silent(ExitReason::Unanswered(_))));
    assert!(matches!(refused(403, "<html>no</html>").await.0, Answer::Denied(_)));
    assert!(matches!(refused(404, "").await.0, Answer::Gone(_)));
    // A page of something else.
    let page = Script::Refuse(200, &[("content-type", "text/html")], "<html>welcome</html>");
    assert!(matches!(asked_once(page, true).await.0, Answer::Nonsense(_)));
    let strange = Script::Frames(vec![Bytes::from_static(b"GIF89a, a long picture")]);
    let (answer, started, _) = asked_once(strange, true).await;
    assert!(!started && !matches!(answer, Answer::Said(_)), "{answer:?}");
}

#[tokio::test]
async fn a_token_that_is_refused_is_made_anew_once() {
    let old = || Script::Refuse(401, &[], "expired");
    let server = Server::start([old(), whole(), old(), old()]).await;
    let client =
        Arc::new(ServiceClient::new(server.target(true), Arc::new(Rules::default())).expect("a client"));
    assert_eq!(ask(&client, patient()).await.0, Answer::Said(ExitReason::Finished));
    assert!(matches!(ask(&client, patient()).await.0, Answer::Denied(_)));
    let tokens = server.came();
    let tokens: Vec<_> =
        tokens.iter().map(|request| request.headers["authorization"].to_str().expect("text")).collect();
    assert_eq!(tokens, ["Bearer 0", "Bearer 1", "Bearer 1", "Bearer 2"]);
}

#[tokio::test]
async fn nothing_that_listens_is_no_answer() {
    let server = Server::start([]).await;
    let mut target = server.target(true);
    // A port that was just given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port");
    target.connect = format!("http://{port}").parse().expect("an address");
    let client = Arc::new(ServiceClient::new(target, Arc::new(Rules::default())).expect("a client"));
    let (answer, ..) = ask(&client, patient()).await;
    let Answer::Silent(ExitReason::Unanswered(words)) = answer else { panic!("{answer:?}") };
    assert!(words.contains("cannot connect to") && words.contains("refused"), "{words}");
}

#[tokio::test]
async fn a_worker_that_says_nothing_for_too_long_is_lost_and_its_stream_is_reset() {
    for http2 in [true, false] {
        let mut server = Server::start([Script::Silence(vec![hello(), report()])]).await;
        let client = ServiceClient::new(server.target(http2), Arc::new(Rules::default())).expect("a client");
        let short = Duration::from_millis(100);
        let activation = activation(Duration::from_secs(600), short);
        let (answer, started, reports) = ask(&Arc::new(client), activation).await;
        let Answer::Said(ExitReason::Lost(words)) = answer else { panic!("{answer:?}") };
        assert!(words.contains("has said nothing for 100ms") && started && reports == 1, "{words}");
        server.gone.recv().await.expect("the service sees it");
    }
}

#[tokio::test]
async fn a_worker_that_never_says_hello_is_no_answer_and_its_request_is_taken_back() {
    for http2 in [true, false] {
        let mut server = Server::start([Script::Nothing]).await;
        let client = ServiceClient::new(server.target(http2), Arc::new(Rules::default())).expect("a client");
        let activation = activation(Duration::from_millis(100), Duration::from_secs(600));
        let (answer, started, _) = ask(&Arc::new(client), activation).await;
        let Answer::Silent(ExitReason::Unanswered(words)) = answer else { panic!("{answer:?}") };
        assert!(words.contains("no worker has answered within 100ms") && !started, "{words}");
        server.gone.recv().await.expect("the service sees it");
    }
}

#[tokio::test]
async fn an_activation_that_is_dropped_resets_its_stream_and_no_other() {
    let mut server =
        Server::start([Script::Silence(vec![hello()]), Script::Silence(vec![hello()]), whole()]).await;
    let client =
        Arc::new(ServiceClient::new(server.target(true), Arc::new(Rules::default())).expect("a client"));
    let in_flight = InFlight::new(2);
    let mut all = Vec::new();
    for name in ["one", "other"] {
        let (client, activation) = (Arc::clone(&client), patient());
        let id = InvocationId(name.into());
        let invocation = in_flight
            .spawn(id, activation.id, |events| async move { client.activate(&activation, &events).await });
        let mut invocation = invocation.expect("there is room");
        let event = invocation.events.next().await.expect("an event").expect("no error");
        assert!(matches!(event.kind, EventKind::Started));
        all.push(invocation);
    }
    assert!(in_flight.abort(&InvocationId("one".into())));
    server.gone.recv().await.expect("the service sees it");
    assert!(server.gone.try_recv().is_err(), "the other activation goes on");
    assert_eq!(ask(&client, patient()).await.0, Answer::Said(ExitReason::Finished));
    assert_eq!(server.connections.load(Ordering::SeqCst), 1, "they share a connection");
}

#[tokio::test]
async fn many_activations_share_few_connections() {
    let server = Server::start(std::iter::repeat_with(whole).take(400)).await;
    let client =
        Arc::new(ServiceClient::new(server.target(true), Arc::new(Rules::default())).expect("a client"));
    let all = (0..400).map(|_| ask(&client, patient()));
    for (answer, ..) in futures_util::future::join_all(all).await {
        assert_eq!(answer, Answer::Said(ExitReason::Finished));
    }
    let connections = server.connections.load(Ordering::SeqCst);
    assert!((1..=5).contains(&connections), "{connections} connections for 400 activations");
}

#[tokio::test]
async fn the_platform_is_asked_why_no_worker_answers_and_its_words_end_the_job() {
    let bad = || Script::Refuse(502, &[], "EOF");
    let server = Server::start([bad(), bad(), bad(), bad(), bad(), bad(), whole()]).await;
    let rules = Arc::new(Rules::default());
    let client =
        Arc::new(ServiceClient::new(server.target(true), Arc::clone(&rules) as _).expect("a client"));
    for _ in 0..2 {
        assert!(matches!(ask(&client, patient()).await.0, Answer::Silent(ExitReason::Unanswered(_))));
    }
    assert!(!rules.asked.load(Ordering::SeqCst), "two may be chance");
    *rules.why.lock().expect("no panic") = Some("the image cannot be pulled".to_owned());
    assert_eq!(ask(&client, patient()).await.0, Answer::Hopeless("the image cannot be pulled".to_owned()));
    *rules.why.lock().expect("no panic") = None;
    for _ in 0..3 {
        assert!(matches!(ask(&client, patient()).await.0, Answer::Silent(ExitReason::Unanswered(_))));
    }
    assert_eq!(ask(&client, patient()).await.0, Answer::Said(ExitReason::Finished));
}

#[tokio::test(start_paused = true)]
async fn the_platform_is_asked_while_the_first_worker_is_waited_for() {
    let server = Server::start([Script::Nothing]).await;
    let rules = Arc::new(Rules::default());
    *rules.why.lock().expect("no panic") = Some("no node has room".to_owned());
    let client =
        Arc::new(ServiceClient::new(server.target(true), Arc::clone(&rules) as _).expect("a client"));
    assert_eq!(ask(&client, patient()).await.0, Answer::Hopeless("no node has room".to_owned()));
}
