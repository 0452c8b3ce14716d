//! What this process is, and how a process that plays worker or sub-worker is started.
//!
//! A child is told its role by a variable that is bound to the socket it gets as standard input, so that a program
//! that merely inherits the variable is never taken for one. The socket is its only channel: its end means that the
//! other side is gone.

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

use rustix::net::sockopt::set_socket_send_buffer_size;

use crate::{
    error::{Error, ErrorKind, Result},
    fork,
    protocol::{Program, Role},
};

/// The variable that tells a child its role: `worker:<inode>` or `sub-worker:<inode>`.
pub const ROLE_VARIABLE: &str = "LITHOPS_ROLE";

/// The variable that tells a child how many processes deep it is: a client's worker 1, its sub-workers 2, and so on.
const DEPTH_VARIABLE: &str = "LITHOPS_DEPTH";

const NULL: &str = "/dev/null";
/// The variable that marks a sub-worker and what its calls start, so that it is found when the sub-worker ends.
pub const MARK_VARIABLE: &str = "LITHOPS_SUB_WORKER";

/// No process this deep may start workers: whatever goes wrong, processes do not multiply without end.
const MAX_DEPTH: u32 = 8;

/// How many bytes a channel holds that its other end has not read yet.
const SEND_BUFFER: usize = 1 << 20;

/// The code a child exits with when it was started as a worker and nobody made it one.
pub const EXIT_NOT_INITIALISED: i32 = 86;

/// A process that was started as worker or sub-worker and has not said hello by then never will.
pub const START_LIMIT: Duration = Duration::from_secs(60);

/// A test of a test binary that turns the process into a worker when it was started as one.
#[derive(Debug)]
pub struct TestWorker(pub &'static str);

inventory::collect!(TestWorker);

static ROLE: AtomicU8 = AtomicU8::new(0);

/// Notes that `lithops::init()` was called and which part this process plays.
pub fn initialised(role: Role) {
    // A client may be forked until it has built an executor: daemons begin so.
    if role != Role::Client {
        fork::note_origin();
    }
    ROLE.store(1 + role as u8, Ordering::Release);
}

/// The role this process was started in: the variable, when it is bound to this process's standard input.
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

/// What to start as a sub-worker: this program.
///
/// # Errors
/// When `lithops::init()` was not called, because then the program started again would not become a sub-worker but
/// run its `main` once more.
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
    // A test binary runs its tests when it is started without arguments: it must never be started so, whatever else
    // has happened in it.
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

/// Whether this process was started as a worker and has reached a place where only a client can be.
#[must_use]
pub fn is_stray_child() -> bool {
    ROLE.load(Ordering::Acquire) == 0 && assigned_role().is_some()
}

/// The file that is always empty, which every system has and some sandboxes have not.
///
/// # Errors
/// It cannot be opened, by its name.
pub fn open_null() -> io::Result<File> {
    File::open(NULL).map_err(|error| io::Error::new(error.kind(), format!("cannot open `{NULL}`, {error}")))
}

fn depth() -> u32 {
    std::env::var(DEPTH_VARIABLE).ok().and_then(|depth| depth.parse().ok()).unwrap_or(0)
}

/// Starts `program` in a role, in a process group of its own, with its output going to `output`.
///
/// # Errors
/// When the operating system refuses.
pub fn spawn(program: &Program, role: Role, output: OwnedFd) -> io::Result<(Child, UnixStream)> {
    start(program, role, output, None)
}

/// Starts `program` as a sub-worker, which is marked with `mark` as is all that its calls start.
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
        // With less, large values travel in small steps; the kernel may give less.
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
