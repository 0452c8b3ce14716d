//! Becoming what this process was started as.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    thread,
};

use lithops_core::{
    process::{ROLE_VARIABLE, assigned_role, initialised},
    protocol::Role,
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
        None | Some(Role::Client) => initialised(Role::Client),
        Some(role) => become_role(role),
    }
}

/// Makes this process a worker or sub-worker when it was started as one; in any other process it does nothing. What
/// the test of `test_worker!()` calls: in an ordinary run of the tests it says nothing about the process.
pub fn enter_as_assigned() {
    if let Some(role @ (Role::Worker | Role::SubWorker)) = assigned_role() {
        become_role(role);
    }
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
    // Under `#[tokio::main]` this thread is inside a runtime already.
    let code = thread::spawn(transport::lambda).join().unwrap_or(1);
    leave(code)
}

fn become_role(role: Role) {
    initialised(role);
    signals::set(role);
    keep_memory();
    forget_role();
    // Under `#[tokio::main]` this thread is inside a runtime already, and another cannot be started on it.
    let code = if tokio::runtime::Handle::try_current().is_ok() {
        let thread = thread::Builder::new().stack_size(8 << 20).spawn(move || play(role));
        thread.ok().and_then(|thread| thread.join().ok()).unwrap_or(1)
    } else {
        play(role)
    };
    leave(code);
}

/// Lets the C library keep memory that large values will need again: the system's first touch of fresh memory costs
/// several times what is copied into it.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "there is no safe binding of mallopt")]
fn keep_memory() {
    /// Blocks up to this size come from the heap.
    const FROM_HEAP: i32 = 32 << 20;
    /// So much may be free at the end of the heap before it is given back.
    const FREE: i32 = 64 << 20;
    // SAFETY: it only sets two numbers of the allocator, whatever they are.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, FROM_HEAP);
        libc::mallopt(libc::M_TRIM_THRESHOLD, FREE);
    }
}

/// Only glibc gives memory back so readily.
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
            // Nothing that calls have started runs on.
            end_below(getpid());
            code
        }
    }
}

/// What outlives the sub-worker that it was started from becomes a child of this process, so that it is found.
fn adopt_orphans() {
    // Where the kernel refuses, only what stays in its group is ended.
    let _ = set_child_subreaper(Some(getpid()));
}

/// The socket at standard input becomes a private descriptor, and standard input becomes empty for the user's code.
fn take_channel() -> io::Result<UnixStream> {
    let channel: OwnedFd = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(lithops_core::process::open_null()?)?;
    Ok(UnixStream::from(channel))
}

/// The variable is bound to the socket, so that programs started by user code cannot take it for theirs; it goes all
/// the same, so that they do not see it.
#[expect(unsafe_code, reason = "there is no safe way to remove a variable")]
fn forget_role() {
    // SAFETY: this is the start of the process's work: no thread of ours runs yet, and a test binary's other threads
    // only wait for this one.
    unsafe { std::env::remove_var(ROLE_VARIABLE) };
}
