//! The lifeline of a worker: it ends with its client, even when its own thread is stuck. A thread of its own watches both
//! the socket and the process at its other end.
//!
//! The socket alone is not enough: a copy of the client, made by `fork`, holds its end of the socket too.

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, PidfdFlags, getpid, pidfd_open},
};

use crate::{exit::leave_at_once, processes::end_below};

/// How long a worker may take to end by itself, which it does unless it is stuck.
const LAST_MOMENTS: Duration = Duration::from_secs(1);

/// The stack of the watching thread, which makes few and flat calls.
const STACK: usize = 64 << 10;

/// Ends this process and all below it when the client at the other end of `channel` is gone.
///
/// # Errors
/// When the system has no further descriptor or thread.
pub(crate) fn watch(channel: &UnixStream) -> io::Result<()> {
    let channel = channel.try_clone()?;
    let client = client(&channel);
    let thread = thread::Builder::new().name("lithops-lifeline".into()).stack_size(STACK);
    thread.spawn(move || {
        wait(&channel, client.as_ref());
        // The pool must see the end too, also when a copy of the client holds the channel open.
        let _ = channel.shutdown(std::net::Shutdown::Read);
        thread::sleep(LAST_MOMENTS);
        end_below(getpid());
        leave_at_once(0);
    })?;
    Ok(())
}

/// A descriptor of the process that made the channel; `None` when it cannot be watched from here, as in another
/// namespace.
#[expect(
    unsafe_code,
    reason = "the safe binding takes no process of another namespace, which has the number 0"
)]
fn client(channel: &UnixStream) -> Option<OwnedFd> {
    let mut made_by = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: both pointers are to writable memory, and the length is that of the structure.
    let told = unsafe {
        libc::getsockopt(
            channel.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut made_by).cast(),
            &raw mut len,
        )
    };
    let pid = Pid::from_raw(made_by.pid).filter(|pid| told == 0 && *pid != getpid())?;
    // A process that has ended already has closed its end of the socket, which is seen as well.
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

fn wait(channel: &UnixStream, client: Option<&OwnedFd>) {
    loop {
        let mut watched = vec![PollFd::from_borrowed_fd(channel.as_fd(), PollFlags::RDHUP)];
        watched.extend(client.map(|client| PollFd::from_borrowed_fd(client.as_fd(), PollFlags::IN)));
        // A signal may interrupt the wait: then nothing has come, and the loop goes on.
        let _ = poll(&mut watched, None);
        let gone = PollFlags::HUP | PollFlags::RDHUP | PollFlags::ERR;
        if watched[0].revents().intersects(gone) || watched.len() > 1 && !watched[1].revents().is_empty() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_other_side_is_seen() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        drop(theirs);
        wait(&ours, None);
    }

    #[test]
    fn the_end_of_the_client_is_seen_although_others_have_its_socket() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        let mut client = std::process::Command::new("/bin/true").spawn().expect("a client");
        let pid = i32::try_from(client.id()).ok().and_then(Pid::from_raw).expect("a number");
        let handle = pidfd_open(pid, PidfdFlags::empty()).expect("a handle");
        wait(&ours, Some(&handle));
        client.wait().expect("it has ended");
    }
}
