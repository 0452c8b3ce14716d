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
//!   | -- StoredCalls -------> |                              |   the same where they are too large for a message:
//!   | <-------- StoredReport  |                              |   what is in the storage, by name (`crate::parcel`)
//!   | -- Forget, Cancel ----> | -- Forget -----------------> |
//!   | -- Processes ---------> |                              |   another granularity, while it runs
//!   | -- Deadline ----------> |                              |   how long the platform lets it run
//! ```
//!
//! On one machine, long values do not travel through the sockets: the end of a frame can be lent by its sender
//! ([`Loan`](crate::memory::Loan)), and a worker hands the loan on. A client attaches a descriptor to its
//! greeting, and a worker that gets it says `Shares`: the socket leads from the one to the other, and nobody only
//! relays its bytes.
//!
//! An executor inside of a call is a client too: over the second socket it sends its worker what a client sends after
//! the greeting, and is sent what a client is sent.
//!
//! Where a worker is reached by requests instead, a request holds a hello, the program that is running (`Running`), a
//! job and its calls; the answer holds what the worker would send, and at last how it ended (`Ended`).
//!
//! A frame is `length: u32 LE`, `kind: u8`, a byte that says whether the body begins with a loan, two zero bytes, and
//! a body. Bodies that carry calls or outcomes are
//! laid out by hand in columns and sliced without a copy; the others are postcard.

mod calls;
mod channel;
mod envelope;
mod fleet_key;
mod frame;
mod hello;
mod job;
mod launch;
mod logs;
mod malformed;
mod outbox;
mod payloads;
mod received_fds;
mod report;
mod run;
mod secrets;
mod stored_calls;
mod stored_report;
mod synthetic;
mod watched;

pub use calls::Calls;
pub use channel::{BlockingFrames, Incoming, channel, send_lent};
pub use envelope::Envelope;
pub use fleet_key::FleetKey;
pub use frame::{Frame, FrameKind, FrameReader, HEADER_LEN, MAX_FRAME, MAX_VALUE, frame_header, read_frame};
pub use hello::{About, Hello, PROTOCOL, Role};
pub use job::{Cancel, Deadline, DurableSpec, Forget, JobSpec, ParentCall, Program, SetProcesses, Setup};
pub use launch::Launch;
pub use logs::{LogEntry, Logs};
pub use outbox::Outbox;
pub use payloads::{InputBatch, Payloads, PayloadsBuilder};
pub use report::{CallStats, Report, ReportBuilder, ReportHeader, Tag};
pub use run::Run;
pub use secrets::Secrets;
pub use stored_calls::StoredCalls;
pub use stored_report::StoredReport;
pub use synthetic::{blank_header, failed_report, failed_together, lost_report, now_nanos, unstarted_report};

pub(crate) use malformed::malformed;
pub use malformed::no_descriptors;
