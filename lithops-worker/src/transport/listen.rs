//! The `listen` transport: the client connects to the worker, through something that leads into its machine. The worker
//! listens there for its own client alone, which knows the key of its fleet, and ends with the connection.

use std::{env, io, net::SocketAddr, os::unix::net::UnixStream, str::FromStr, thread, time::Duration};

use lithops_core::{
    error::{Error, ErrorKind, Result, Retry},
    process::{PROGRAM_VARIABLE, SERVE, TRANSPORT_VARIABLE},
    protocol::{Launch, Program, ProgramId, RelayEnd, Setup, challenge, relay},
};
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    task::JoinSet,
    time::timeout,
};

use super::{
    pull::{Programs, exit_code, launch, tell_platform, words_of},
    stdio::greeted,
};
use crate::{
    exit::complain,
    lifeline,
    pool::{self, Pool},
};

/// Where a worker listens, if nothing else is said: in its own machine only.
const DEFAULT: &str = "127.0.0.1:7070";
/// The variable with another address and port.
const LISTEN: &str = "LITHOPS_LISTEN";
/// The longest time without a client. One that lives connects at once.
const UNWANTED: Duration = Duration::from_secs(60);
/// How long another side that connects may take to show that it is the client.
const TO_ANSWER: Duration = Duration::from_secs(10);
/// How many connections may be asked at once.
const ASKED: usize = 16;
/// How long the connection may take to carry the last words.
const LAST_WORDS: Duration = Duration::from_secs(6);

/// The exit code of a worker that its platform has told to leave, or that has lost its client: another may be started.
const EXIT_ELSEWHERE: i32 = 75;

/// Whether this program was started as a worker that its client connects to.
#[must_use]
pub fn is_listening() -> bool {
    env::var_os(TRANSPORT_VARIABLE).is_some_and(|transport| transport == SERVE)
}

/// Serves the client that connects until it goes; returns the exit code of the process. `is_program` says whether this
/// program has functions of its own; else it executes the one that its platform was told.
#[must_use]
pub fn listen(program: Result<Program>, is_program: bool) -> i32 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.map_err(Error::from).and_then(|runtime| {
        let start = Start::read(program, is_program);
        forget();
        // As a task of its own: each wake-up of the future that `block_on` drives costs a write to the event poll, and
        // one of a task does not.
        let served = runtime.block_on(runtime.spawn(serve(start?)));
        served.map_err(|error| {
            let problem = format!("the worker panicked: {error}");
            Error::new(ErrorKind::Unexpected, problem).with_retry(Retry::Later)
        })?
    });
    match served {
        Ok(code) => code,
        Err(error) => {
            let words = words_of(&error);
            complain(&words);
            tell_platform(&words);
            exit_code(&error)
        }
    }
}

/// What a worker is started with.
struct Start {
    launch: Launch,
    address: SocketAddr,
    own: Program,
    is_program: bool,
    /// The program of the calls, where it is not this one.
    program: Option<ProgramId>,
}

impl Start {
    fn read(own: Result<Program>, is_program: bool) -> Result<Self> {
        let text = env::var(LISTEN).unwrap_or_else(|_| DEFAULT.to_owned());
        let wrong = |variable: &str, text: &str, error: &dyn std::fmt::Display| {
            Error::new(ErrorKind::InvalidInput, format!("`{variable}={text}` cannot be used: {error}"))
        };
        let address = SocketAddr::from_str(&text).map_err(|error| wrong(LISTEN, &text, &error))?;
        let program = match env::var(PROGRAM_VARIABLE) {
            Ok(text) => {
                Some(serde_json::from_str(&text).map_err(|error| wrong(PROGRAM_VARIABLE, &text, &error))?)
            }
            Err(_) => None,
        };
        Ok(Self { launch: launch(None)?, address, own: own?, is_program, program })
    }
}

/// Waits for the client and serves it; returns the exit code.
async fn serve(start: Start) -> Result<i32> {
    let Start { launch, address, own, is_program, program } = start;
    let mut told = signal(SignalKind::terminate())?;
    let (ours, theirs) = UnixStream::pair()?;
    let (welcome, welcomed) = oneshot::channel();
    let unwanted = UNWANTED.min(launch.orphan);
    let grace = launch.grace;
    let storage = launch.storage.clone();
    // A thread of its own says that the worker lives, also while the pool has its hands full.
    let relayed = thread::Builder::new()
        .name("lithops-relay".into())
        .spawn(move || connected(&launch, address, unwanted, welcome, theirs))?;
    let welcomed = tokio::select! {
        welcomed = welcomed => welcomed.is_ok(),
        _ = told.recv() => return Ok(EXIT_ELSEWHERE),
    };
    if !welcomed {
        // No client has come, or the address cannot be listened at, and the thread says why.
        return relayed
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the relay panicked").into()))
            .map(|_| 0);
    }
    lifeline::watch(&ours)?;
    let was_told = match greeted(ours).await? {
        Some((frames, outbox, mut setup)) => {
            if let Some(secrets) = setup.secrets.take() {
                lithops_core::storage::give(&secrets.storage, secrets.secrets.into_iter().collect());
            }
            // Its path is that of the client's machine.
            let mut programs = Programs::new(is_program);
            setup = Setup { program: programs.find(program.as_ref(), &own, &storage).await?, ..setup };
            // `programs` keeps the fetched program until the pool has ended.
            pool::run_until_told(Pool::new(setup, outbox), frames, sigterm(told), grace).await?
        }
        None => false,
    };
    let end = tokio::task::spawn_blocking(move || relayed.join());
    let end = timeout(LAST_WORDS, end).await.ok().and_then(|joined| joined.ok()?.ok());
    Ok(match end {
        Some(Ok(Some(RelayEnd::Closed))) if !was_told => 0,
        Some(Ok(Some(RelayEnd::Cut(words)))) => {
            complain(&format!("the client is gone: {words}"));
            EXIT_ELSEWHERE
        }
        _ => EXIT_ELSEWHERE,
    })
}

async fn sigterm(mut told: Signal) {
    told.recv().await;
}

/// Listens for the client, and relays what it sends; `None` when none has come in time.
fn connected(
    launch: &Launch,
    address: SocketAddr,
    unwanted: Duration,
    welcome: oneshot::Sender<()>,
    channel: UnixStream,
) -> Result<Option<RelayEnd>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            Error::new(ErrorKind::Io, format!("cannot listen at {address}: {error}")).with_source(error)
        })?;
        complain(&format!("listens at {}", listener.local_addr()?));
        let Ok(client) = timeout(unwanted, client(&listener, launch)).await else {
            complain(&format!("no client has come for {unwanted:?}"));
            return Ok(None);
        };
        // No other client is served.
        drop(listener);
        let _ = welcome.send(());
        Ok(Some(relay(client, channel).await?))
    })
}

/// The first connection that shows to be the client's.
async fn client(listener: &TcpListener, launch: &Launch) -> TcpStream {
    /// How long to wait when no connection can be accepted, for want of descriptors.
    const PAUSE: Duration = Duration::from_millis(100);

    let mut asked = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if asked.len() < ASKED => match accepted {
                Ok((stream, _)) => {
                    let launch = launch.clone();
                    asked.spawn(async move { shown(stream, &launch).await });
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
            Some(shown) = asked.join_next() => if let Ok(Some(stream)) = shown {
                return stream;
            },
        }
    }
}

/// The connection, if it is the client's.
async fn shown(mut stream: TcpStream, launch: &Launch) -> Option<TcpStream> {
    // Frames are small and must not wait for each other.
    stream.set_nodelay(true).ok()?;
    let worker = launch.worker.as_deref().unwrap_or_default();
    let asked = challenge(&mut stream, &launch.fleet, worker, &launch.verify);
    match timeout(TO_ANSWER, asked).await {
        Ok(Ok(())) => Some(stream),
        Ok(Err(error)) => {
            complain(&format!("a connection is refused: {error}"));
            None
        }
        Err(_) => None,
    }
}

/// Removes the variables that made this process a worker: programs that calls start must not take themselves for workers.
#[expect(unsafe_code, reason = "there is no safe way to remove a variable")]
fn forget() {
    for variable in [TRANSPORT_VARIABLE, Launch::VARIABLE, Launch::WORKER_VARIABLE, LISTEN, PROGRAM_VARIABLE]
    {
        // SAFETY: this is the start of the process's work: no thread of ours runs yet, and other threads of the program
        // only wait for this one.
        unsafe { env::remove_var(variable) };
    }
}
