//! The server: listens, serves connections, and ends when the platform says so.

use std::{env, net::SocketAddr, str::FromStr, sync::Arc, time::Duration};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
};
use lithops_core::{
    error::{Error, ErrorKind, Result},
    process::{HTTP, TRANSPORT_VARIABLE},
};
use rustix::net::sockopt;
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
};

use super::{
    answer::{TRANSPORT, answer},
    turns::Turns,
};
use crate::{
    exit::complain,
    program_cache::ReadHints,
    transport::{
        request::{Sandbox, WarmPool},
        secrets_file::{SECRETS_FILE, secrets},
    },
};

/// The variable with the port to listen at, by which platforms for containers tell it.
const PORT: &str = "PORT";
const DEFAULT_PORT: u16 = 8080;
/// The variable with the address and port to listen at, where it is not to be every address of the container.
const LISTEN: &str = "LITHOPS_LISTEN";
/// The variable with the seconds that calls may run on for once the platform has told the worker to end.
const GRACE: &str = "LITHOPS_GRACE";
/// Platforms kill a container ten seconds after they have told it to end, if nothing else is agreed.
const DEFAULT_GRACE: Duration = Duration::from_secs(8);
/// How long the last answers may take to be sent when this process ends.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// After this time without a sign of life of the other end, a connection is closed, and its activation stopped.
const SILENCE: Duration = Duration::from_secs(45);
/// How long to wait when no connection can be accepted, for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// What to do about a program that the container cannot read.
const HINTS: ReadHints = ReadHints {
    denied: "the identity of the container, or the credentials that it was given, must be allowed to read the bucket",
    otherwise: "can the container reach the storage?",
};

/// Whether this program was started as a worker that is given its calls by HTTP requests.
#[must_use]
pub fn is_http() -> bool {
    env::var_os(TRANSPORT_VARIABLE).is_some_and(|transport| transport == HTTP)
}

/// Serves until the platform tells this process to end; returns the exit code of the process.
#[must_use]
pub fn http() -> i32 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    // As a task of its own: each wake-up of the future that `block_on` drives costs a write to the event poll, and one of
    // a task does not.
    let served = runtime.map_err(Error::from).and_then(|runtime| {
        let (listen, secrets) = (address()?, secrets()?);
        forget();
        let served = runtime.block_on(runtime.spawn(serve(
            listen,
            WarmPool::new(Sandbox { memory: None, hints: HINTS, stream_limit: u64::MAX, secrets }),
        )));
        served.map_err(|error| Error::new(ErrorKind::Unexpected, format!("the worker panicked: {error}")))?
    });
    match served {
        Ok(()) => 0,
        Err(error) => {
            complain(&format!("cannot serve HTTP: {error}"));
            1
        }
    }
}

fn address() -> Result<SocketAddr> {
    if let Ok(text) = env::var(LISTEN) {
        return SocketAddr::from_str(&text).map_err(|error| wrong(LISTEN, &text, &error));
    }
    let port = match env::var(PORT) {
        Ok(text) => text.parse().map_err(|error| wrong(PORT, &text, &error))?,
        Err(_) => DEFAULT_PORT,
    };
    Ok(SocketAddr::from(([0, 0, 0, 0], port)))
}

fn grace() -> Duration {
    let seconds = env::var(GRACE).ok().and_then(|text| text.parse().ok());
    seconds.map_or(DEFAULT_GRACE, Duration::from_secs)
}

fn wrong(variable: &str, text: &str, error: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("`{variable}={text}` is no address to listen at: {error}"))
}

async fn serve(listen: SocketAddr, warm: WarmPool) -> Result<()> {
    let (warm, turns) = (Arc::new(warm), Arc::new(Turns::new()));
    let mut told = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(listen).await?;
    complain(&format!("{TRANSPORT} listens at {}", listener.local_addr()?));
    let connections = GracefulShutdown::new();
    let leaves = async {
        told.recv().await;
        turns.leave(grace());
        tokio::select! {
            () = turns.over() => {}
            // Told twice: calls are not waited for.
            _ = told.recv() => {}
        }
    };
    tokio::pin!(leaves);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
            () = &mut leaves => break,
        };
        tune(&stream);
        let (warm, turns) = (Arc::clone(&warm), Arc::clone(&turns));
        let service = service_fn(move |request| answer(Arc::clone(&warm), Arc::clone(&turns), request));
        let connection = auto::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            // A connection that breaks has stopped its activation, and says nothing of the next one.
            let _ = connection.await;
        });
    }
    let _ = tokio::time::timeout(LAST_WORDS, connections.shutdown()).await;
    Ok(())
}

/// Frames are small and must not wait for each other; and a client that has vanished without a word is noticed.
fn tune(stream: &TcpStream) {
    let silence = u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX);
    // Where an option is refused, the system's own limits hold.
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, SILENCE / 3);
    let _ = sockopt::set_tcp_keepintvl(stream, SILENCE / 3);
    let _ = sockopt::set_tcp_keepcnt(stream, 2);
    let _ = sockopt::set_tcp_user_timeout(stream, silence);
}

/// Removes the variables that made this process a worker: programs that calls start must not take themselves for workers.
#[expect(unsafe_code, reason = "there is no safe way to remove a variable")]
fn forget() {
    for variable in [TRANSPORT_VARIABLE, SECRETS_FILE, LISTEN] {
        // SAFETY: this is the start of the process's work: no thread of ours runs yet, and other threads of the program
        // only wait for this one.
        unsafe { env::remove_var(variable) };
    }
}
