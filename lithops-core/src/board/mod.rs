//! The board: how workers without a coordinator share the chunks of a job through an object store alone.
//!
//! All types here are sans-io. [`BoardWorker`] and [`BoardClient`] return the storage request to
//! send, and are given the answer and the current time; they never wait themselves. They need
//! put-if-absent, get and list from the storage, and an overwriting put for heartbeats. No
//! timestamp of the storage or of another machine is ever read.
//! ```text
//! claims/<chunk>/<epoch>                 put-if-absent: the worker that holds the chunk in this epoch
//! beat/<worker>                          overwritten with a new count at each heartbeat of the worker
//! outcomes/<chunk>/<epoch>/<first>-<end> a report of some calls, which the next holder need not run
//! commit/<chunk>                         put-if-absent: the outcomes of all calls of the chunk
//! cancel                                 exists once the job is cancelled
//! ```
//!
//! # A worker
//!
//! ```text
//!              a chunk without           stored, or            all calls        stored, or
//!              a claim                   already its own       have outcomes    it exists
//!   Looking ------------------> Claiming --------------> Running --------> Committing ---> Looking
//!    |  ^  ^                     |    ^  \                ^  |
//!    |  |  | another has claimed |    |   \ epoch > 1     |  | claimed at a higher epoch, or claim deleted
//!    |  |  +---------------------+    |    v              |  +--> Looking
//!    |  |        (epoch 1)       |    |  Reading ---------+
//!    |  |                        |    |    | claimed at a higher epoch
//!    |  |              (epoch>1) |    |    +--> Looking
//!    |  all are claimed          v    | the holder's lease has expired
//!    +----------------------> Watching+
//!                                |
//!                                +--> Done: all are committed, or nothing to claim for too long
//!   any state ----------------------> Done: the job was cancelled
//! ```
//!
//! Beside these states the worker has a heartbeat on a lane of its own: it writes the beat, lists
//! the claims of the chunk it holds, reads `cancel`, and rests.
//!
//! - **A commit holds the outcomes themselves**, not the name of an epoch whose outcomes count. The
//!   worker whose put succeeds has committed, a worker whose put comes second drops its outcomes,
//!   and a reader needs no second object that could be missing.
//! - **Leases.** A worker may take over a claim when the holder's beat has not changed for one
//!   lease on the observer's own clock. If the holder was only suspended, two workers may run the
//!   same calls. The holder finds out at its next heartbeat, or before it starts another call if it
//!   notices the suspension, and at the latest when its commit comes second.
//! - **Other programs may delete and add keys.** Nothing is computed from a number that is only
//!   written in a key: an epoch without a claim counts against no call, and keys, names and epochs
//!   that no board writes are ignored. A worker whose claim is gone gives the chunk up, a chunk
//!   without claims is free again, a missing beat is written again, and a report that is listed but
//!   cannot be read is treated as missing.
//! - **A failed operation may have happened**, and may even happen later. It is repeated byte for
//!   byte until its result is known. When a claim already exists, it is read, because it may be the
//!   worker's own. When a report or a commit already exists, the operation has succeeded, no matter
//!   which worker wrote it.
//! - **Which call is to blame.** From epoch 2 on, calls run one by one, and each outcome is stored
//!   before the next call begins. The call at which an epoch ended follows from the keys alone. See
//!   `blame.rs`.
//! - **Cost.** A worker claims a chunk without listing first, starting at a place that is derived
//!   from its name. It lists a page of a thousand chunks only when another worker was first. A
//!   chunk that runs without failures costs two puts.
//!
//! # A client
//!
//! ```text
//!   Resting --> Asking --> Surveying --+--> Counting --> Feeling --> Resting
//!    |  ^       cancel?    commits,    |    workers      beats
//!    |  |                  by page     +--> Resting (workers were counted a moment ago)
//!    |  |                              +--> Done: all are committed
//!    v  |                              +--> Closing: cancelled; commits what is open, then Done
//!   Cancelling (then Asking)
//! ```
//!
//! The client that cancels, and every client that sees the cancellation, commits the open chunks as
//! cancelled. Workers stop when they see it. A worker's commit that comes before the client's stays valid.

pub mod keys;

mod action;
mod blame;
mod bundle;
mod chunk_map;
mod claimed_chunk;
mod client;
mod exchange;
mod heartbeat;
mod lease_config;
mod liveness;
mod watch;
mod worker;

#[cfg(test)]
mod tampered_tests;
#[cfg(test)]
mod tests;

pub use action::{Action, ClientAction, End};
pub use bundle::{CommittedChunk, Content, OutcomeRange};
pub use client::BoardClient;
pub use exchange::{BoardAnswer, Lane, Request};
pub use lease_config::{Chunks, LeaseConfig};
pub use worker::BoardWorker;
