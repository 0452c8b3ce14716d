//! [`Shortage`]: the system lacks something that a further sub-worker needs, for the moment.
//!
//! The sub-workers that there are go on, and another start is tried now and then. It is an error only when there is no
//! sub-worker at all, and several starts in a row have failed.

use std::{
    io,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use lithops_core::error::{Error, ErrorKind, Result};
use rustix::io::{Errno, fcntl_dupfd_cloexec};

/// The pause after the first start that has failed. Each further one doubles it: what is short may be back in a moment,
/// or for long.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest pause: a start in vain costs a millisecond or two.
const LONGEST: Duration = Duration::from_secs(2);
/// How many starts in a row fail, without any sub-worker, before it is an error: about a second and a quarter.
const TRIES: u32 = 7;
/// How many descriptors stay free for the sub-workers that there are: for memory that they lend, and for the storage.
const SPARE: usize = 8;

/// The failures of starts in a row, and the pause after the last.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    failures: u32,
    until: Option<Instant>,
}

impl Shortage {
    /// Whether the pause lasts: no start is to be tried yet.
    pub(super) fn lasts(&mut self) -> bool {
        self.until.take_if(|until| *until <= Instant::now());
        self.until.is_some()
    }

    /// Whether there is a pause, after which a start is to be tried.
    pub(super) fn is_there(&self) -> bool {
        self.until.is_some()
    }

    /// Notes that a sub-worker is up.
    pub(super) fn ends(&mut self) {
        *self = Self::default();
    }

    /// Notes that a start has failed while there were `others` sub-workers.
    ///
    /// # Errors
    /// That of the start, when there are no others and this has happened too often.
    pub(super) fn begins(&mut self, error: Error, others: usize) -> Result<()> {
        self.failures += 1;
        if others == 0 && self.failures >= TRIES {
            return Err(cannot_start(error));
        }
        let pause = PAUSE * 2u32.pow(self.failures.min(10) - 1);
        self.until = Some(Instant::now() + pause.min(LONGEST));
        Ok(())
    }
}

/// Makes sure that a new sub-worker would leave some descriptors to this process.
///
/// # Errors
/// When it would not.
pub(super) fn has_spare_descriptors() -> Result<()> {
    let mut spare = Vec::with_capacity(SPARE);
    for _ in 0..SPARE {
        match fcntl_dupfd_cloexec(io::stdin().as_fd(), 0) {
            Ok(one) => spare.push(one),
            Err(Errno::MFILE) => return Err(io::Error::from(Errno::MFILE).into()),
            // Where standard input is closed this cannot be found out.
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

/// The error of starts in vain, with a hint that names the limit.
fn cannot_start(error: Error) -> Error {
    let errno = error.io_error();
    let errno = errno.and_then(io::Error::raw_os_error).map(Errno::from_raw_os_error);
    let hint = match errno {
        Some(Errno::MFILE) => "raise the limit of open files (`ulimit -n`)",
        Some(Errno::NFILE) => "the whole machine has too many open files (`fs.file-max`)",
        Some(Errno::AGAIN) => "raise the limit of processes (`ulimit -u`, or `pids.max` of the cgroup)",
        Some(Errno::NOMEM) => "there is not enough memory: see `ulimit -v`, and the limit of the cgroup",
        Some(Errno::FBIG) => {
            "raise the limit of file sizes (`ulimit -f`): memory that is shared counts as a file"
        }
        _ => "the program must be one that this machine can execute",
    };
    Error::new(ErrorKind::WorkerLost, format!("cannot start a sub-worker: {error}"))
        .with_hint(hint)
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_files() -> Error {
        io::Error::from(Errno::MFILE).into()
    }

    #[test]
    fn a_start_that_fails_is_no_error_while_there_are_others() {
        let mut shortage = Shortage::default();
        for _ in 0..100 {
            shortage.begins(no_files(), 3).expect("others go on");
            assert!(shortage.is_there());
        }
        shortage.ends();
        assert!(!shortage.lasts());
    }

    #[test]
    fn without_any_it_is_tried_again_and_then_the_limit_is_named() {
        let mut shortage = Shortage::default();
        (1..TRIES).for_each(|_| shortage.begins(no_files(), 0).expect("a moment later there may be some"));
        let error = shortage.begins(no_files(), 0).expect_err("it was tried often enough");
        assert!(format!("{error:?}").contains("ulimit -n"), "{error:?}");
    }
}
