//! The lifeline of a worker of a fleet, watched by a thread of its own.
//!
//! The thread that serves the jobs sees for itself that whoever has launched it is gone, and ends what runs in good
//! order. This one is there for when that thread does not come to look: the worker must not outlive its client.

use std::{
    io,
    os::{fd::AsFd, unix::net::UnixStream},
    thread,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, poll};

/// How long an end in good order may take.
const GRACE: Duration = Duration::from_secs(5);

/// The exit code of a worker that did not end by itself.
const EXIT_STUCK: i32 = 1;

/// Ends this process, and with it its sub-workers, when the other end of `lifeline` is gone and it has not ended by
/// itself a moment later.
pub(super) fn watch(lifeline: UnixStream) -> io::Result<()> {
    watch_with(lifeline, GRACE, || crate::entry::leave(EXIT_STUCK))
}

fn watch_with(lifeline: UnixStream, grace: Duration, end: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let watch = move || {
        until_gone(&lifeline);
        thread::sleep(grace);
        end();
    };
    thread::Builder::new().name("lithops-lifeline".into()).stack_size(64 << 10).spawn(watch).map(drop)
}

/// Waits until nobody holds the other end any more. Nothing is read: that is the other thread's business.
fn until_gone(lifeline: &UnixStream) {
    loop {
        let mut watched = [PollFd::from_borrowed_fd(lifeline.as_fd(), PollFlags::RDHUP)];
        match poll(&mut watched, None) {
            Ok(_) if watched[0].revents().intersects(PollFlags::HUP | PollFlags::RDHUP | PollFlags::ERR) => {
                return;
            }
            // Interrupted.
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
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
        // What comes is not for this thread, and nobody reads it.
        theirs.write_all(&[0; 100]).expect("written");
        assert!(ended.try_recv().is_err());
        drop(theirs);
        // This thread does not read the lifeline either: it waits here.
        ended.recv().expect("it ends");
    }
}
