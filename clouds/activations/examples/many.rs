//! Runs many activations of one second at once in one client, and prints how long that takes and what memory it needs:
//! `cargo run --release -p lithops-activations --example many [COUNT]`. With more than 4 s or 300 MB it fails. The service is
//! another process of this program, at a port of loopback.

use std::{
    convert::Infallible,
    error::Error,
    io::{BufRead, BufReader},
    process::{Command, ExitCode, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::{HeaderMap, Response, Uri, body::Frame, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use lithops_activations::{Activation, Limits, ServiceClient, ServiceRules, Target};
use lithops_core::{
    artifact::{Artifact, ProgramRef, StoredProgram},
    compute::{EventKind, ExitReason, InFlight, InvocationId, InvokeRequest},
    digest::Digest,
    id::{ActivationId, JobId},
    protocol::{Calls, Frame as LithopsFrame, FrameKind, Hello, JobSpec, Payloads, Role, Run},
    storage::Locator,
};
use tokio::net::TcpListener;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const TIME: Duration = Duration::from_secs(4);
const MEMORY: u64 = 300;

#[derive(Debug)]
struct NoRules;

#[async_trait]
impl ServiceRules for NoRules {
    async fn headers(&self, _: bool) -> lithops_core::error::Result<HeaderMap> {
        Ok(HeaderMap::new())
    }
}

#[expect(clippy::print_stdout, reason = "this is a command")]
fn main() -> Result<ExitCode> {
    let argument = std::env::args().nth(1);
    let runtime = tokio::runtime::Runtime::new()?;
    if argument.as_deref() == Some("serve") {
        runtime.block_on(serve())?;
        return Ok(ExitCode::SUCCESS);
    }
    let count = argument.map_or(Ok(5000), |count| count.parse())?;
    let mut service = Command::new(std::env::current_exe()?).arg("serve").stdout(Stdio::piped()).spawn()?;
    let mut address = String::new();
    BufReader::new(service.stdout.take().ok_or("no pipe")?).read_line(&mut address)?;
    let ran = runtime.block_on(run(address.trim(), count));
    service.kill()?;
    service.wait()?;
    let took = ran?;
    let memory = peak_memory()?;
    println!("{count} activations of 1 s at once: {:.2} s, {memory} MB", took.as_secs_f64());
    Ok(if took <= TIME && memory <= MEMORY { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(address: &str, count: u64) -> Result<Duration> {
    let connect: Uri = format!("http://{address}").parse()?;
    let authority = connect.authority().cloned().ok_or("no host")?;
    let target = Target { connect, authority, http2: true };
    let client = Arc::new(ServiceClient::new(target, Arc::new(NoRules))?);
    let in_flight = InFlight::new(usize::MAX);
    let began = Instant::now();
    let mut all = Vec::new();
    for number in 0..count {
        let (client, activation) = (Arc::clone(&client), activation(number)?);
        let id = InvocationId(number.to_string());
        all.push(
            in_flight.spawn(id, activation.id, |events| async move {
                client.activate(&activation, &events).await
            })?,
        );
    }
    let mut finished = 0;
    for mut invocation in all {
        while let Some(event) = invocation.events.next().await {
            if let EventKind::Exited(reason) = event?.kind {
                if reason != ExitReason::Finished {
                    return Err(format!("one ended with {reason:?}").into());
                }
                finished += 1;
            }
        }
    }
    if finished != count {
        return Err(format!("{finished} of {count} have an end").into());
    }
    Ok(began.elapsed())
}

fn activation(number: u64) -> Result<Activation> {
    let artifact = Artifact { digest: Digest::of(b"program"), bytes: Bytes::from_static(b"program") };
    let running = ProgramRef {
        program: StoredProgram::of(&artifact),
        storage: Locator::new("memory", "bucket"),
        arguments: Vec::new(),
        answer_limit: 0,
    };
    let job = JobSpec {
        job: JobId::from_bytes([7; 16]),
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
    let run = Run {
        job: job.job,
        activation: ActivationId(number),
        offset: 0,
        chunksize: 1,
        attempt: 1,
        first: number,
        count: 1,
    };
    let calls = Calls { run, batch: 0, queued_at: 0, arguments: Payloads::default() };
    let limits = Limits::new(Duration::from_secs(60), None);
    Ok(Activation::new(&running, &InvokeRequest::new(Arc::new(job), vec![calls]), limits)?)
}

/// Answers each request with a hello, and a second later with the end.
#[expect(clippy::print_stdout, reason = "the other process reads the address")]
async fn serve() -> Result<()> {
    let (mut hello, mut ended) = (Vec::new(), Vec::new());
    Hello::of(Role::Worker).write(&mut hello)?;
    LithopsFrame::write(FrameKind::Ended, &ExitReason::Finished, &mut ended)?;
    let (hello, ended) = (Bytes::from(hello), Bytes::from(ended));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let (hello, ended) = (hello.clone(), ended.clone());
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (hello, ended) = (hello.clone(), ended.clone());
            async move {
                let _ = request.into_body().collect().await;
                let end = stream::once(async move {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    ended
                });
                let pieces =
                    stream::iter([hello]).chain(end).map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
                let answer = Response::builder().header("content-type", "application/x-lithops");
                answer.body(StreamBody::new(pieces))
            }
        });
        let builder = auto::Builder::new(TokioExecutor::new());
        tokio::spawn(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    }
}

/// The most memory that this process ever had, in MB.
fn peak_memory() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no peak")?;
    let kibibytes: u64 = peak.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kibibytes * 1024 / 1_000_000)
}
