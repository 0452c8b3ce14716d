//! The entry into this crate: a process becomes the worker or sub-worker that it was started as.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    thread,
};

use lithops_core::{
    error::Result,
    process::{ROLE_VARIABLE, assigned_role, initialised},
    protocol::{Program, Role},
};

use rustix::process::{getpid, set_child_subreaper};

use crate::{
    exit::{complain, leave},
    lifeline,
    processes::end_below,
    signals, sub_worker, transport,
};

/// Makes this process a worker or sub-worker when it was started as one, and then does not return. In a client it
/// returns at once.
pub fn enter() {
    match assigned_role() {
        #[cfg(feature = "lambda")]
        None if transport::is_in_lambda() => serve_lambda(),
        #[cfg(feature = "http")]
        None if transport::is_http() => serve_http(),
        None if transport::is_launched() => serve_launched(None, true),
        None if transport::is_to_check() => check(),
        None if transport::is_listening() => serve_listening(true),
        None | Some(Role::Client) => initialised(Role::Client),
        Some(role) => become_role(role),
    }
}

/// Makes this process a worker or sub-worker when it was started as one; in any other process it does nothing. The test
/// that `test_worker!()` defines calls it: an ordinary run of the tests is not marked as a client by it.
pub fn enter_as_assigned() {
    match assigned_role() {
        Some(role @ (Role::Worker | Role::SubWorker)) => become_role(role),
        #[cfg(feature = "http")]
        None if transport::is_http() => serve_http(),
        None if transport::is_launched() => serve_launched(None, true),
        None if transport::is_listening() => serve_listening(true),
        None | Some(Role::Client) => {}
    }
}

/// Serves the fleet of a launch document as a worker, and does not return. The document is in the file, or without one in
/// the environment. `is_program` says whether this program has functions of its own; else it executes only programs that
/// it fetches.
pub fn serve_launched(document: Option<&Path>, is_program: bool) -> ! {
    serve(|program| transport::launched(document, program, is_program))
}

/// Serves the client that connects to this worker, and does not return. `is_program` says whether this program has functions
/// of its own; else it executes the one that its platform was told.
pub fn serve_listening(is_program: bool) -> ! {
    serve(|program| transport::listen(program, is_program))
}

/// Serves as a worker that was started without a channel, and does not return.
fn serve(how: impl FnOnce(Result<Program>) -> i32 + Send) -> ! {
    initialised(Role::Worker);
    signals::set(Role::Worker);
    keep_memory();
    adopt_orphans();
    let program = lithops_core::process::program();
    // Under `#[tokio::main]` this thread is inside a runtime already, and another cannot be started on it.
    let code = thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK);
        let served = thread.spawn_scoped(scope, move || how(program));
        served.map_or(1, |served| served.join().unwrap_or(1))
    });
    // Processes that calls have started end with their worker.
    end_below(getpid());
    leave(code)
}

/// Tries whether a worker could serve from here, and does not return.
fn check() -> ! {
    initialised(Role::Worker);
    // Under `#[tokio::main]` this thread is inside a runtime already, and another cannot be started on it.
    leave(thread::spawn(|| transport::check(None)).join().unwrap_or(1))
}

/// Serves the client at standard input as a worker: what the `lithops-worker` program does.
pub fn serve_stdio() {
    become_role(Role::Worker);
}

/// Serves AWS Lambda as a worker, and does not return: what a program does that Lambda has started.
#[cfg(feature = "lambda")]
pub fn serve_lambda() -> ! {
    initialised(Role::Worker);
    signals::set(Role::Worker);
    adopt_orphans();
    // Under `#[tokio::main]` this thread is inside a runtime already, and another cannot be started on it.
    let code = thread::spawn(transport::lambda).join().unwrap_or(1);
    leave(code)
}

/// Serves HTTP requests as a worker until the platform tells this process to end, and does not return.
#[cfg(feature = "http")]
pub fn serve_http() -> ! {
    initialised(Role::Worker);
    signals::set(Role::Worker);
    keep_memory();
    adopt_orphans();
    // Under `#[tokio::main]` this thread is inside a runtime already, and another cannot be started on it.
    let code = thread::spawn(transport::http).join().unwrap_or(1);
    // Processes that calls have started end with their worker.
    end_below(getpid());
    leave(code)
}

/// The stack of the thread that calls run on in the place of the main thread: as large as that of a main thread.
const STACK: usize = 8 << 20;

fn become_role(role: Role) {
    initialised(role);
    signals::set(role);
    keep_memory();
    forget_role();
    // Under `#[tokio::main]` this thread is inside a runtime already, and another cannot be started on it.
    let code = if tokio::runtime::Handle::try_current().is_ok() {
        let thread = thread::Builder::new().stack_size(STACK).spawn(move || play(role));
        thread.ok().and_then(|thread| thread.join().ok()).unwrap_or(1)
    } else {
        play(role)
    };
    leave(code);
}

/// Lets the C library keep memory that large values will need again: the first touch of a fresh page costs several times
/// what it costs to fill the page.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "there is no safe binding of mallopt")]
fn keep_memory() {
    /// Blocks up to this size come from the heap, and not each from a mapping of its own. It is the highest value that
    /// glibc takes.
    const FROM_HEAP: i32 = 32 << 20;
    /// This much may be free at the end of the heap before memory is given back: two values of the size above.
    const FREE: i32 = 64 << 20;
    // SAFETY: the calls only set two numbers of the allocator, and any number is valid.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, FROM_HEAP);
        libc::mallopt(libc::M_TRIM_THRESHOLD, FREE);
    }
}

/// Other C libraries are left as they are: only glibc gives memory back so readily.
#[cfg(not(target_env = "gnu"))]
fn keep_memory() {}

fn play(role: Role) -> i32 {
    let channel = match take_channel() {
        Ok(channel) => channel,
        Err(error) => {
            complain(&format!("cannot take over the channel at standard input: {error}"));
            return 1;
        }
    };
    match role {
        Role::SubWorker => sub_worker::run(channel),
        Role::Client | Role::Worker => {
            adopt_orphans();
            if let Err(error) = lifeline::watch(&channel) {
                complain(&format!("cannot watch the client: {error}"));
                return 1;
            }
            let code = transport::stdio(channel);
            // Processes that calls have started end with their worker.
            end_below(getpid());
            code
        }
    }
}

/// Makes this process the parent of every process below it that loses its own parent, so that processes which outlive
/// their sub-worker are found.
fn adopt_orphans() {
    // Where the kernel refuses, only processes that have stayed in the group of their sub-worker are ended.
    let _ = set_child_subreaper(Some(getpid()));
}

/// Moves the socket at standard input to a private descriptor. Standard input is empty for the user's code then.
fn take_channel() -> io::Result<UnixStream> {
    let channel: OwnedFd = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(lithops_core::process::open_null()?)?;
    Ok(UnixStream::from(channel))
}

/// Removes the variable that made this process a worker. Programs that user code starts could not take it for theirs,
/// because it names the socket; but they would see it.
#[expect(unsafe_code, reason = "there is no safe way to remove a variable")]
fn forget_role() {
    // SAFETY: this is the start of the process's work: no thread of ours runs yet, and a test binary's other threads
    // only wait for this one.
    unsafe { std::env::remove_var(ROLE_VARIABLE) };
}
