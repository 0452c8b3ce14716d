//! The framed, versioned protocol between client, worker and sub-worker.
//!
//! Both hops speak the same frames, so that a worker forwards values without decoding them:
//!
//! ```text
//! client                    worker                     sub-worker
//!   | -- Hello, Setup ------> | -- Hello (+ two fds) ------> |   the ledger; a socket for nested executors
//!   | -- Job ---------------> | -- Job --------------------> |   once per job
//!   | -- Calls -------------> | -- Calls ------------------> |   a run of calls, sliced
//!   | <------------- Hello -- | <------------------ Hello -- |
//!   | <----- Logs, Report --- | <----------------- Report -- |   a run of outcomes, forwarded
//!   | -- StoredCalls -------> |                              |   calls and reports too large for a message:
//!   | <-------- StoredReport  |                              |   the payload is a blob in the storage
//!   | -- Forget, Cancel ----> | -- Forget -----------------> |
//!   | -- Processes ---------> |                              |   another granularity, while it runs
//!   | -- Deadline ----------> |                              |   how long the platform lets it run
//!   | -- HandBack ----------> |                              |   the platform ends the worker soon
//! ```
//!
//! On one machine, long values do not travel through the sockets: the sender of a frame can lend the frame's
//! end ([`Loan`](crate::memory::Loan)), and a worker hands the loan on. A client attaches a descriptor to its
//! greeting, and a worker that receives the descriptor answers `Shares`: this shows that the socket connects
//! the two processes directly. Where a launcher relays the bytes, the descriptor does not arrive, and nothing
//! is lent.
//!
//! An executor inside of a call is a client too: over the second socket it sends its worker the frames that a
//! client sends after the greeting, and receives the frames that a client receives.
//!
//! Where a worker is reached by requests instead, a request holds a hello, the program that is running
//! (`Running`), a job and its calls; the answer holds the frames that the worker would send, and at last how
//! it ended (`Ended`). Where answers are streamed over connections that do not tell of the end of a worker, an
//! answer begins with a hello, and a `Heartbeat` comes when nothing else has come for a while.
//!
//! A worker in another network than the client's is connected to through something that is not a socket: both ends
//! [`relay`] their channel over it, once the worker has made sure whose client it is ([`challenge`]).
//!
//! A frame is `length: u32 LE`, `kind: u8`, a byte that says whether the body begins with a loan, two zero
//! bytes, and a body. Bodies that carry calls or outcomes are laid out by hand in columns and sliced without
//! a copy; the other bodies are encoded with postcard.

mod calls;
mod challenge;
mod envelope;
mod fleet_key;
mod hello;
mod job;
mod launch;
mod logs;
mod payloads;
mod program_id;
mod report;
mod run;
mod secrets;
mod stored_calls;
mod stored_report;
mod synthetic;
mod wire;

pub use calls::Calls;
pub use challenge::{answer_challenge, challenge};
pub use envelope::Envelope;
pub(crate) use fleet_key::unchecked;
pub use fleet_key::{SignKey, VerifyKey};
pub use hello::{About, Hello, PROTOCOL, Role};
pub use job::{
    Cancel, Deadline, DurableSpec, Forget, HandBack, JobSpec, ParentCall, Program, SetProcesses, Setup,
};
pub use launch::Launch;
pub use logs::{LogEntry, Logs};
pub use payloads::{InputBatch, Payloads, PayloadsBuilder};
pub use program_id::ProgramId;
pub use report::{CallStats, Report, ReportBuilder, ReportHeader, Tag};
pub use run::Run;
pub use secrets::Secrets;
pub use stored_calls::StoredCalls;
pub use stored_report::StoredReport;
pub use synthetic::{blank_header, failed_report, failed_together, lost_report, now_nanos, unstarted_report};
pub use wire::{
    BlockingFrames, Frame, FrameKind, FrameReader, HEADER_LEN, Incoming, MAX_FRAME, MAX_VALUE, Outbox,
    RelayEnd, channel, frame_header, no_descriptors, read_frame, relay, send_lent,
};
pub(crate) use wire::{malformed, watched};
