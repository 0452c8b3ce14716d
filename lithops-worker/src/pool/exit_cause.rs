//! The cause table: what the death of a sub-worker means for the call that was running.
//!
//! | what happened | what the call gets |
//! |---|---|
//! | an exit code, or a signal that a program brings on itself (SEGV, BUS, ILL, ABRT, FPE, and others) | its own failure, `Crashed` |
//! | SIGKILL or SIGTERM that the pool did not send | `OutOfMemory` when the cgroup's count or the sampled memory says so, else a loss that is not its fault |
//! | the process closed its channel, or became another program, and went on | its own failure, `Crashed` |
//! | it is not known how the process ended | a loss that is not its fault |
//! | the pool ended the process | `TimedOut`, `Cancelled`, or `OutOfMemory` for the largest one when the worker's memory is full; when the worker's time is over, another try for a call that has not had nearly all of that time |

use std::time::Duration;

use lithops_core::{
    error::{CallError, CallErrorKind, Error, ErrorKind},
    protocol::Tag,
};
use rustix::process::Signal;

/// The signals by which others end a process: the kernel for want of memory, an administrator, a container.
const KILL: i32 = Signal::KILL.as_raw();
const TERM: i32 = Signal::TERM.as_raw();

/// The message for a call that has taken the channel from its process.
pub(super) const SILENT: &str = "its process closed the descriptors that sub-workers report through, or became another \
                                 program: a call may close only what it has opened";
/// The message for a call that has overwritten memory that its sub-worker shares with the worker.
pub(super) const DAMAGED: &str = "it overwrote memory that its sub-worker shares with the worker, or wrote into the \
                                  channel between them: is there a stray pointer in unsafe code?";

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// By itself, with this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// The process had closed its channel, went on, and was ended for that.
    Silent,
    /// The process has ended, and it is not known how.
    Unknown,
}

/// Why the pool has ended a sub-worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndReason {
    /// A call ran longer than the timeout of its job.
    TimedOut(Duration),
    /// The client has cancelled the running call.
    Cancelled,
    /// Its frames or its ledger say something that cannot be.
    Damaged,
    /// The worker was about to reach the limit of its memory, and this sub-worker used most of it.
    OutOfMemory {
        /// What it used, in bytes.
        used: u64,
        /// What the worker may use, in bytes.
        limit: u64,
    },
    /// The running call has had nearly all of this time, and the platform gives no more.
    Deadline(Duration),
    /// The platform's time is over, and the running call began late: it gets another try.
    CutShort,
}

/// What is known of the end of a process besides the exit itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Evidence {
    /// Why the pool has ended the process because of the running call.
    pub(super) ending: Option<EndReason>,
    /// Whether the kernel killed a process of the cgroup, or this one was near the limit.
    pub(super) out_of_memory: bool,
    /// Its resident memory when that was last read, in bytes.
    pub(super) resident: u64,
}

/// The outcome of the running call.
pub(super) fn judge(exit: Exit, evidence: Evidence) -> (Tag, CallError) {
    if let Some(ending) = evidence.ending {
        return match ending {
            EndReason::TimedOut(limit) => (
                Tag::Failed,
                CallError::new(
                    CallErrorKind::TimedOut,
                    format!("it ran longer than its timeout of {limit:?}"),
                ),
            ),
            EndReason::Deadline(limit) => (
                Tag::Failed,
                CallError::new(
                    CallErrorKind::TimedOut,
                    format!(
                        "it ran until its worker's time was over, which the platform limits to {limit:.1?}"
                    ),
                ),
            ),
            // A loss, because the tries after a loss are limited. The message is what the call gets after the last.
            EndReason::CutShort => (
                Tag::Lost,
                CallError::new(
                    CallErrorKind::TimedOut,
                    "its worker's time was over each time before it ended",
                ),
            ),
            EndReason::Damaged => {
                let kind = CallErrorKind::Crashed { signal: None, exit_code: None };
                (Tag::Failed, CallError::new(kind, DAMAGED))
            }
            EndReason::OutOfMemory { used, limit } => {
                let message = format!(
                    "its sub-worker used {} MiB when the worker was about to reach its limit of {} MiB, and was ended \
                     so that the worker's other calls go on",
                    used >> 20,
                    limit >> 20,
                );
                (Tag::Failed, CallError::new(CallErrorKind::OutOfMemory, message))
            }
            EndReason::Cancelled => {
                (Tag::Failed, CallError::new(CallErrorKind::Cancelled, "it was ended while it ran"))
            }
        };
    }
    match exit {
        Exit::Signal(KILL | TERM) if evidence.out_of_memory => {
            let used = match evidence.resident >> 20 {
                0 => String::new(),
                megabytes => format!("; it was last seen using {megabytes} MiB"),
            };
            let message = format!("the kernel killed its sub-worker for want of memory{used}");
            (Tag::Failed, CallError::new(CallErrorKind::OutOfMemory, message))
        }
        Exit::Signal(signal @ (KILL | TERM)) => {
            // The kind and the message are what the call gets when its tries after losses are used up.
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

/// The error of calls of which it is not known whether they have run, because the ledger was overwritten.
pub(super) fn untold() -> CallError {
    CallError::new(
        CallErrorKind::WorkerLost,
        "its sub-worker was ended, because a call had overwritten memory that it shares with the worker",
    )
}

/// The outcome of the running call when the sub-worker was ended because its channel could not be read.
pub(super) fn unheard(error: &Error) -> (Tag, CallError) {
    if error.kind() == ErrorKind::Unexpected {
        let kind = CallErrorKind::Crashed { signal: None, exit_code: None };
        return (Tag::Failed, CallError::new(kind, format!("{DAMAGED} ({error})")));
    }
    let message = format!("its sub-worker could not be heard: {error}");
    (Tag::Lost, CallError::new(CallErrorKind::WorkerLost, message))
}

/// The error of a call that had ended, and whose outcome was not sent yet when its sub-worker died.
pub(super) fn unreported() -> CallError {
    CallError::new(CallErrorKind::WorkerLost, "its outcome was lost with its sub-worker")
}

/// The name of a signal, for those that people know by name, and its number.
fn name(signal: i32) -> String {
    let name = match Signal::from_named_raw(signal) {
        Some(Signal::ILL) => "SIGILL",
        Some(Signal::ABORT) => "SIGABRT",
        Some(Signal::BUS) => "SIGBUS",
        Some(Signal::FPE) => "SIGFPE",
        Some(Signal::KILL) => "SIGKILL",
        Some(Signal::SEGV) => "SIGSEGV",
        Some(Signal::TERM) => "SIGTERM",
        _ => return format!("signal {signal}"),
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
        for signal in [Signal::SEGV, Signal::BUS, Signal::ILL, Signal::ABORT, Signal::FPE].map(Signal::as_raw)
        {
            let (tag, error) = judge(Exit::Signal(signal), plain);
            assert_eq!((tag, error.kind()), (Tag::Failed, &crashed(Some(signal), None)));
        }
        let (tag, error) = judge(Exit::Code(3), plain);
        assert_eq!((tag, error.kind()), (Tag::Failed, &crashed(None, Some(3))));
        let (tag, error) = judge(Exit::Code(0), plain);
        assert_eq!((tag, error.kind()), (Tag::Failed, &crashed(None, Some(0))));
        let (tag, error) = judge(Exit::Signal(KILL), plain);
        assert_eq!((tag, error.kind()), (Tag::Lost, &crashed(Some(KILL), None)));
        let memory = Evidence { out_of_memory: true, resident: 300 << 20, ..plain };
        let (tag, error) = judge(Exit::Signal(KILL), memory);
        assert_eq!((tag, error.kind()), (Tag::Failed, &CallErrorKind::OutOfMemory));
        assert!(error.message().contains("300 MiB"), "{error}");
        assert_eq!(
            judge(Exit::Signal(Signal::SEGV.as_raw()), memory).1.kind(),
            &crashed(Some(Signal::SEGV.as_raw()), None)
        );
        let timed_out = Evidence { ending: Some(EndReason::TimedOut(Duration::from_secs(1))), ..memory };
        assert_eq!(judge(Exit::Signal(KILL), timed_out).1.kind(), &CallErrorKind::TimedOut);
        let full = EndReason::OutOfMemory { used: 1500 << 20, limit: 2048 << 20 };
        let (tag, error) = judge(Exit::Signal(KILL), Evidence { ending: Some(full), ..plain });
        assert_eq!((tag, error.kind()), (Tag::Failed, &CallErrorKind::OutOfMemory));
        assert!(error.message().contains("1500 MiB") && error.message().contains("2048 MiB"), "{error}");
        let (tag, error) = judge(Exit::Silent, plain);
        assert_eq!((tag, error.kind()), (Tag::Failed, &crashed(None, None)));
        assert_eq!(judge(Exit::Unknown, plain).0, Tag::Lost, "it need not be the call's fault");
        let damaged = Evidence { ending: Some(EndReason::Damaged), ..plain };
        let (tag, error) = judge(Exit::Signal(KILL), damaged);
        assert_eq!((tag, error.kind()), (Tag::Failed, &crashed(None, None)));
        let deadline = Evidence { ending: Some(EndReason::Deadline(Duration::from_secs(5))), ..plain };
        let (tag, error) = judge(Exit::Signal(KILL), deadline);
        assert_eq!((tag, error.kind()), (Tag::Failed, &CallErrorKind::TimedOut));
        let cut = Evidence { ending: Some(EndReason::CutShort), ..plain };
        assert_eq!(judge(Exit::Signal(KILL), cut).0, Tag::Lost);
        let cancelled = Evidence { ending: Some(EndReason::Cancelled), ..plain };
        assert_eq!(judge(Exit::Signal(TERM), cancelled).1.kind(), &CallErrorKind::Cancelled);
    }
}
