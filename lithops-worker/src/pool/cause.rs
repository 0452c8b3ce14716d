//! The cause table: what the death of a sub-worker means for the call that was running.
//!
//! | what happened | what the call gets |
//! |---|---|
//! | an exit code, or a signal that a program brings on itself (SEGV, BUS, ILL, ABRT, FPE, and others) | its own failure, `Crashed` |
//! | SIGKILL or SIGTERM that the pool did not send | `OutOfMemory` when the cgroup's count or the sampled memory says so, else a loss that is not its fault |
//! | it closed its channel, or became another program, and went on | its own failure, `Crashed` |
//! | nobody can say how it ended | a loss that is not its fault |
//! | the pool ended it | `TimedOut` or `Cancelled`; when the worker's time is over, another try if it has not had all of that |

use std::time::Duration;

use lithops_core::{
    error::{CallError, CallErrorKind, Error, ErrorKind},
    protocol::Tag,
};

const SIGABRT: i32 = 6;
const SIGBUS: i32 = 7;
const SIGFPE: i32 = 8;
const SIGILL: i32 = 4;
const SIGKILL: i32 = 9;
const SIGSEGV: i32 = 11;
const SIGTERM: i32 = 15;

/// What a call gets whose process had no channel any more.
pub(super) const SILENT: &str = "its process closed the descriptors that sub-workers report through, or became another \
                                 program: a call may close only what it has opened";
/// What a call gets that has overwritten what it shares with the worker.
pub(super) const DAMAGED: &str = "it overwrote memory that its sub-worker shares with the worker, or wrote into the \
                                  channel between them: is there a stray pointer in unsafe code?";

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Code(i32),
    Signal(i32),
    /// It had closed its channel, went on, and was ended for that.
    Silent,
    /// It has ended, and nobody can say how.
    Unknown,
}

/// Why the pool has ended a sub-worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    TimedOut(Duration),
    Cancelled,
    /// What it says, or what stands in the page it shares, cannot be.
    Damaged,
    /// The platform lets it run no longer than this.
    Deadline(Duration),
    /// The same, and it began late: it may end when it is given all of that.
    CutShort,
}

/// What is known of a death besides the exit itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Evidence {
    pub(super) ending: Option<Ending>,
    pub(super) out_of_memory: bool,
    pub(super) resident: u64,
}

/// What the running call gets.
pub(super) fn judge(exit: Exit, evidence: Evidence) -> (Tag, CallError) {
    if let Some(ending) = evidence.ending {
        return match ending {
            Ending::TimedOut(limit) => (
                Tag::Failed,
                CallError::new(
                    CallErrorKind::TimedOut,
                    format!("it ran longer than its timeout of {limit:?}"),
                ),
            ),
            Ending::Deadline(limit) => (
                Tag::Failed,
                CallError::new(
                    CallErrorKind::TimedOut,
                    format!(
                        "it ran until its worker's time was over, which the platform limits to {limit:.1?}"
                    ),
                ),
            ),
            // A loss, so that it is not begun again for ever; this is what it gets in the end.
            Ending::CutShort => (
                Tag::Lost,
                CallError::new(
                    CallErrorKind::TimedOut,
                    "its worker's time was over each time before it ended",
                ),
            ),
            Ending::Damaged => {
                let kind = CallErrorKind::Crashed { signal: None, exit_code: None };
                (Tag::Failed, CallError::new(kind, DAMAGED))
            }
            Ending::Cancelled => {
                (Tag::Failed, CallError::new(CallErrorKind::Cancelled, "it was ended while it ran"))
            }
        };
    }
    match exit {
        Exit::Signal(SIGKILL | SIGTERM) if evidence.out_of_memory => {
            let used = match evidence.resident >> 20 {
                0 => String::new(),
                megabytes => format!("; it was last seen using {megabytes} MiB"),
            };
            let message = format!("the kernel killed its sub-worker for want of memory{used}");
            (Tag::Failed, CallError::new(CallErrorKind::OutOfMemory, message))
        }
        Exit::Signal(signal @ (SIGKILL | SIGTERM)) => {
            // The kind is what the call gets when its budget for losses is used up.
            let kind = CallErrorKind::Crashed { signal: Some(signal), exit_code: None };
            (
                Tag::Lost,
                CallError::new(kind, format!("its sub-worker was killed from outside by {}", name(signal))),
            )
        }
        Exit::Signal(signal) => {
            let kind = CallErrorKind::Crashed { signal: Some(signal), exit_code: None };
            (Tag::Failed, CallError::new(kind, format!("its sub-worker died of {}", name(signal))))
        }
        Exit::Silent => {
            let kind = CallErrorKind::Crashed { signal: None, exit_code: None };
            (Tag::Failed, CallError::new(kind, SILENT))
        }
        Exit::Unknown => {
            let message = "its sub-worker ended, and how is not known: its end was reaped by something else";
            (Tag::Lost, CallError::new(CallErrorKind::WorkerLost, message))
        }
        Exit::Code(code) => {
            let kind = CallErrorKind::Crashed { signal: None, exit_code: Some(code) };
            (Tag::Failed, CallError::new(kind, format!("its sub-worker exited with code {code}")))
        }
    }
}

/// What calls get of which nobody can say whether they have run, because the page that tells was overwritten.
pub(super) fn untold() -> CallError {
    CallError::new(
        CallErrorKind::WorkerLost,
        "its sub-worker was ended, because a call had overwritten memory that it shares with the worker",
    )
}

/// What a call gets whose sub-worker was ended for what came over its channel.
pub(super) fn unheard(error: &Error) -> (Tag, CallError) {
    if error.kind() == ErrorKind::Unexpected {
        let kind = CallErrorKind::Crashed { signal: None, exit_code: None };
        return (Tag::Failed, CallError::new(kind, format!("{DAMAGED} ({error})")));
    }
    let message = format!("its sub-worker could not be heard: {error}");
    (Tag::Lost, CallError::new(CallErrorKind::WorkerLost, message))
}

/// What a call gets that had ended, but whose outcome was not yet sent when its sub-worker died.
pub(super) fn unreported() -> CallError {
    CallError::new(CallErrorKind::WorkerLost, "its outcome was lost with its sub-worker")
}

fn name(signal: i32) -> String {
    let name = match signal {
        SIGILL => "SIGILL",
        SIGABRT => "SIGABRT",
        SIGBUS => "SIGBUS",
        SIGFPE => "SIGFPE",
        SIGKILL => "SIGKILL",
        SIGSEGV => "SIGSEGV",
        SIGTERM => "SIGTERM",
        other => return format!("signal {other}"),
    };
    format!("{name} (signal {signal})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_table() {
        let crashed = |signal, exit_code| CallErrorKind::Crashed { signal, exit_code };
        let plain = Evidence::default();
        for signal in [SIGSEGV, SIGBUS, SIGILL, SIGABRT, SIGFPE] {
            let (tag, error) = judge(Exit::Signal(signal), plain);
            assert_eq!((tag, error.kind()), (Tag::Failed, &crashed(Some(signal), None)));
        }
        let (tag, error) = judge(Exit::Code(3), plain);
        assert_eq!((tag, error.kind()), (Tag::Failed, &crashed(None, Some(3))));
        let (tag, error) = judge(Exit::Code(0), plain);
        assert_eq!((tag, error.kind()), (Tag::Failed, &crashed(None, Some(0))));
        let (tag, error) = judge(Exit::Signal(SIGKILL), plain);
        assert_eq!((tag, error.kind()), (Tag::Lost, &crashed(Some(SIGKILL), None)));
        let memory = Evidence { out_of_memory: true, resident: 300 << 20, ..plain };
        let (tag, error) = judge(Exit::Signal(SIGKILL), memory);
        assert_eq!((tag, error.kind()), (Tag::Failed, &CallErrorKind::OutOfMemory));
        assert!(error.message().contains("300 MiB"), "{error}");
        assert_eq!(judge(Exit::Signal(SIGSEGV), memory).1.kind(), &crashed(Some(SIGSEGV), None));
        let timed_out = Evidence { ending: Some(Ending::TimedOut(Duration::from_secs(1))), ..memory };
        assert_eq!(judge(Exit::Signal(SIGKILL), timed_out).1.kind(), &CallErrorKind::TimedOut);
        let (tag, error) = judge(Exit::Silent, plain);
        assert_eq!((tag, error.kind()), (Tag::Failed, &crashed(None, None)));
        assert_eq!(judge(Exit::Unknown, plain).0, Tag::Lost, "it need not be the call's fault");
        let damaged = Evidence { ending: Some(Ending::Damaged), ..plain };
        let (tag, error) = judge(Exit::Signal(SIGKILL), damaged);
        assert_eq!((tag, error.kind()), (Tag::Failed, &crashed(None, None)));
        let deadline = Evidence { ending: Some(Ending::Deadline(Duration::from_secs(5))), ..plain };
        let (tag, error) = judge(Exit::Signal(SIGKILL), deadline);
        assert_eq!((tag, error.kind()), (Tag::Failed, &CallErrorKind::TimedOut));
        let cut = Evidence { ending: Some(Ending::CutShort), ..plain };
        assert_eq!(judge(Exit::Signal(SIGKILL), cut).0, Tag::Lost);
        let cancelled = Evidence { ending: Some(Ending::Cancelled), ..plain };
        assert_eq!(judge(Exit::Signal(SIGTERM), cancelled).1.kind(), &CallErrorKind::Cancelled);
    }
}
