//! The role of this process, and how a worker or a sub-worker is started.
//!
//! A child learns its role from an environment variable with the inode of the socket that it gets
//! as standard input, so that a program that only inherits the variable is not taken for a child.
//! The socket is the child's only channel. Its end means that the other process is gone.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::MetadataExt, net::UnixStream, process::CommandExt},
    },
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use rustix::{
    net::sockopt::set_socket_send_buffer_size,
    process::{Pid, PidfdFlags, pidfd_open},
};
use tokio::io::Interest;

use crate::{
    error::{Error, ErrorKind, Result},
    fork,
    protocol::{Launch, Program, Role, watched},
};

/// The variable with the role of a child: `worker:<inode>` or `sub-worker:<inode>`.
pub const ROLE_VARIABLE: &str = "LITHOPS_ROLE";

/// The variable that makes a program a worker whose calls come in another way than over a socket, and its value for a
/// worker of a fleet.
pub const TRANSPORT_VARIABLE: &str = "LITHOPS_TRANSPORT";
/// See [`TRANSPORT_VARIABLE`].
pub const PULL: &str = "pull";
/// The value of [`TRANSPORT_VARIABLE`] for a worker of a fleet that only tries whether it could serve, and says so in the
/// storage.
pub const CHECK: &str = "check";
/// The value of [`TRANSPORT_VARIABLE`] for a worker that is given its calls by HTTP requests.
pub const HTTP: &str = "http";
/// The value of [`TRANSPORT_VARIABLE`] for a worker that its client connects to.
pub const SERVE: &str = "serve";

/// The variable that names the program of the calls, for a worker that is not the program itself and that its client connects
/// to: a [`ProgramId`](crate::protocol::ProgramId) as JSON.
pub const PROGRAM_VARIABLE: &str = "LITHOPS_FETCHED_PROGRAM";

/// The variable with the depth of a child: 1 for a client's worker, 2 for the sub-workers of that
/// worker, and so on.
const DEPTH_VARIABLE: &str = "LITHOPS_DEPTH";

/// The file that is always empty.
const NULL: &str = "/dev/null";
/// The variable that marks a sub-worker and the processes that its calls start. These are found by
/// it when the sub-worker ends.
pub const MARK_VARIABLE: &str = "LITHOPS_SUB_WORKER";

/// A process of this depth starts no workers, so that an error cannot make processes multiply without end.
const MAX_DEPTH: u32 = 8;

/// The number of bytes that a channel holds before its other end has read them.
const SEND_BUFFER: usize = 1 << 20;

/// The exit code of a child that was started as a worker, but did not become one because
/// `lithops::init()` was not called.
pub const EXIT_NOT_INITIALISED: i32 = 86;

/// How long a started worker or sub-worker may take until its hello. After this time it is taken to
/// have failed.
pub const START_LIMIT: Duration = Duration::from_secs(60);

/// The test of a test binary that turns the process into a worker, if the process was started as one.
#[derive(Debug)]
pub struct TestWorker(pub &'static str);

inventory::collect!(TestWorker);

/// 0 until `lithops::init()` is called, then 1 plus the number of the role.
static ROLE: AtomicU8 = AtomicU8::new(0);

/// Notes that `lithops::init()` was called, and the role of this process.
pub fn initialised(role: Role) {
    // A client may be forked until it has built an executor, because that is how daemons start.
    if role != Role::Client {
        fork::note_origin();
    }
    ROLE.store(1 + role as u8, Ordering::Release);
}

/// The role from the environment variable; `None` unless the variable names this process's standard input.
#[must_use]
pub fn assigned_role() -> Option<Role> {
    let text = std::env::var(ROLE_VARIABLE).ok()?;
    let (role, inode) = text.split_once(':')?;
    let stdin = io::stdin().as_fd().try_clone_to_owned().ok()?;
    if inode.parse() != Ok(File::from(stdin).metadata().ok()?.ino()) {
        return None;
    }
    match role {
        "worker" => Some(Role::Worker),
        "sub-worker" => Some(Role::SubWorker),
        _ => None,
    }
}

/// The program to start as a sub-worker, which is this program.
///
/// # Errors
/// `Unsupported` when executors are nested too deeply. `InvalidInput` when `lithops::init()` was
/// not called, because the program would run its `main` again instead of becoming a sub-worker.
pub fn program() -> Result<Program> {
    let depth = depth();
    if depth >= MAX_DEPTH {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("executors are nested {} deep", depth / 2),
        )
        .with_hint("a function that starts an executor is called by a function that does, and so on: is it recursive?"));
    }
    let path = "/proc/self/exe".into();
    // A test binary without arguments would run all its tests, so that this case comes before the
    // check of the role.
    if let Some(TestWorker(test)) = inventory::iter::<TestWorker>.into_iter().next() {
        let name = test.split_once("::").map_or(*test, |(_, name)| name);
        let arguments = [name, "--exact", "--nocapture", "--test-threads=1", "--include-ignored", "-q"];
        return Ok(Program { path, arguments: arguments.map(Into::into).to_vec() });
    }
    if ROLE.load(Ordering::Acquire) != 0 {
        return Ok(Program { path, arguments: Vec::new() });
    }
    Err(not_initialised())
}

fn not_initialised() -> Error {
    Error::new(ErrorKind::InvalidInput, "`lithops::init()` was not called, so that this program cannot be its own worker")
        .with_hint(
            "put `#[lithops::main]` on `fn main`, or call `lithops::init()` as its first statement; in a test crate \
             write `lithops::test_worker!();` once",
        )
}

/// Whether this process was started as a worker, but has reached code that only a client runs.
#[must_use]
pub fn is_stray_child() -> bool {
    ROLE.load(Ordering::Acquire) == 0 && assigned_role().is_some()
}

/// Opens `/dev/null`, which is missing in some sandboxes.
///
/// # Errors
/// When the file cannot be opened. The error names it.
pub fn open_null() -> io::Result<File> {
    File::open(NULL).map_err(|error| io::Error::new(error.kind(), format!("cannot open `{NULL}`, {error}")))
}

/// The depth of this process; 0 for a client.
fn depth() -> u32 {
    std::env::var(DEPTH_VARIABLE).ok().and_then(|depth| depth.parse().ok()).unwrap_or(0)
}

/// Starts `program` in a role, in a process group of its own. Its standard output and standard
/// error go to `output`.
///
/// # Errors
/// When the operating system refuses.
pub fn spawn(program: &Program, role: Role, output: OwnedFd) -> io::Result<(Child, UnixStream)> {
    start(program, role, output, None)
}

/// Starts `program` as a worker of a fleet with nothing but a launch document, as a platform elsewhere would: it has no
/// connection to this process and does not end with it. `arguments` come in front of those of the program.
///
/// # Errors
/// When the operating system refuses, or the document cannot be encoded.
pub fn launch(program: &Program, arguments: &[&str], launch: &Launch) -> Result<Child> {
    let document = launch.to_json()?;
    let child = Command::new(&program.path)
        .args(arguments)
        .args(&program.arguments)
        .env(TRANSPORT_VARIABLE, PULL)
        .env(Launch::VARIABLE, document)
        .env(DEPTH_VARIABLE, (depth() + 1).to_string())
        .env_remove(ROLE_VARIABLE)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    child.map_err(|error| {
        Error::new(
            ErrorKind::WorkerLost,
            format!("cannot start a worker from `{}`: {error}", program.path.display()),
        )
        .with_hint("may this user start more processes (`ulimit -u`), and is there memory for them?")
    })
}

/// Waits until a child has ended that nothing has waited for yet; for ever where no descriptor is left to watch it with.
/// Must be called inside a Tokio runtime.
pub fn until_ended(child: &Child) -> impl Future<Output = ()> + Send + 'static {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let handle = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let handle = handle.and_then(|handle| watched(handle, Interest::READABLE).ok());
    async move {
        match handle {
            // A descriptor of a process is readable from its end on.
            Some(handle) if handle.readable().await.is_ok() => {}
            _ => std::future::pending().await,
        }
    }
}

/// Starts `program` as a sub-worker. `mark` is inherited by all processes that its calls start.
///
/// # Errors
/// When the operating system refuses.
pub fn spawn_marked(program: &Program, output: OwnedFd, mark: &str) -> io::Result<(Child, UnixStream)> {
    start(program, Role::SubWorker, output, Some(mark))
}

fn start(
    program: &Program,
    role: Role,
    output: OwnedFd,
    mark: Option<&str>,
) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    for end in [&ours, &theirs] {
        // With a smaller buffer large values are sent in many small steps. The kernel may grant less.
        let _ = set_socket_send_buffer_size(end, SEND_BUFFER);
    }
    let theirs = OwnedFd::from(theirs);
    let inode = File::from(theirs.try_clone()?).metadata()?.ino();
    let role = match role {
        Role::Client | Role::Worker => "worker",
        Role::SubWorker => "sub-worker",
    };
    let child = Command::new(&program.path)
        .args(&program.arguments)
        .envs(mark.map(|mark| (MARK_VARIABLE, mark)))
        .env(ROLE_VARIABLE, format!("{role}:{inode}"))
        .env(DEPTH_VARIABLE, (depth() + 1).to_string())
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::from(output.try_clone()?))
        .stderr(Stdio::from(output))
        .process_group(0)
        .spawn()?;
    Ok((child, ours))
}
