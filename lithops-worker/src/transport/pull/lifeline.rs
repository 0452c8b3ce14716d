//! [`Lifeline`]: the socket to the launcher of a worker of a fleet, watched by a thread of its own.
//!
//! The thread that serves the jobs sees for itself that the launcher is gone, and ends what runs in good order. The
//! thread here is for the case that the serving thread is stuck: the worker must not outlive its client.

use std::{
    io,
    os::{fd::AsFd, unix::net::UnixStream},
    thread,
    time::Duration,
};

use lithops_core::protocol::{FrameReader, Incoming};
use rustix::event::{PollFd, PollFlags, poll};

/// How long an end in good order may take: several times what it takes to kill the sub-workers and to finish the
/// requests to the storage that are under way.
const GRACE: Duration = Duration::from_secs(5);

/// The exit code of a worker that did not end by itself.
const EXIT_STUCK: i32 = 1;

/// The stack of the watching thread, which calls only `poll` and `exit`.
const STACK: usize = 64 << 10;

/// The socket to the launcher of this worker.
#[derive(Debug)]
pub(in crate::transport) struct Lifeline {
    /// The orders of the launcher.
    pub(in crate::transport) frames: FrameReader<Incoming>,
    /// The socket itself.
    pub(in crate::transport) socket: UnixStream,
}

/// Ends this process, and with it its sub-workers, when the other end of `lifeline` is gone and the process has not
/// ended by itself within [`GRACE`].
pub(super) fn watch(lifeline: UnixStream) -> io::Result<()> {
    watch_with(lifeline, GRACE, || crate::exit::leave(EXIT_STUCK))
}

fn watch_with(lifeline: UnixStream, grace: Duration, end: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let watch = move || {
        until_gone(&lifeline);
        thread::sleep(grace);
        end();
    };
    thread::Builder::new().name("lithops-lifeline".into()).stack_size(STACK).spawn(watch).map(drop)
}

/// Waits until the other end is closed in every process that held it. Nothing is read here: the orders are for the
/// serving thread.
fn until_gone(lifeline: &UnixStream) {
    loop {
        let mut watched = [PollFd::from_borrowed_fd(lifeline.as_fd(), PollFlags::RDHUP)];
        match poll(&mut watched, None) {
            Ok(_) if watched[0].revents().intersects(PollFlags::HUP | PollFlags::RDHUP | PollFlags::ERR) => {
                return;
            }
            // A signal has interrupted the wait, or data has come.
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // A socket that cannot be watched counts as closed: a worker that ends too early is replaced, one that stays
            // is not found.
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, sync::mpsc};

    use super::*;

    #[test]
    fn the_process_ends_when_the_other_end_is_gone_whatever_its_own_thread_does() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let (said, ended) = mpsc::channel();
        watch_with(ours, Duration::ZERO, move || said.send(()).expect("heard")).expect("a thread");
        // Data is not for the watching thread, and is not read.
        theirs.write_all(&[0; 100]).expect("written");
        assert!(ended.try_recv().is_err());
        drop(theirs);
        // The test's own thread does not read the lifeline either: it waits here.
        ended.recv().expect("it ends");
    }
}
