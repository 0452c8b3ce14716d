//! The board: how workers without a coordinator share the chunks of a job through an object store alone.
//!
//! All types here are sans-io. [`BoardWorker`] and [`BoardClient`] return the storage request to
//! send, and are given the answer and the current time; they never wait themselves. They need
//! put-if-absent, get and list from the storage, and an overwriting put for heartbeats. No
//! timestamp of the storage or of another machine is ever read.
//! ```text
//! claims/<chunk>/<epoch>                 put-if-absent: the worker that holds the chunk in this epoch
//! claims/<chunk>/<epoch>-left            put-if-absent: that worker has handed the chunk back
//! beat/<worker>                          overwritten with a new count at each heartbeat of the worker
//! outcomes/<chunk>/<epoch>/<first>-<end> a report of some calls, which the next holder need not run
//! commit/<chunk>                         put-if-absent: the outcomes of all calls of the chunk
//! full/<page>, finished/<page>           put-if-absent: all chunks of a page are claimed, or committed
//! finished/<page>-not                    put-if-absent by a client: that mark is wrong
//! handed-back                            overwritten with the chunk that was handed back last
//! cancel                                 exists once the job is cancelled
//! ```
//!
//! # A worker
//!
//! ```text
//!              a chunk without           stored, or            all calls        stored, or
//!              a claim                   already its own       have outcomes    it exists
//!   Looking ------------------> Claiming --------------> Running --------> Committing ---> Looking
//!    |  ^  ^                     |    ^  \                ^  |  \
//!    |  |  | another was first:  |    |   \ epoch > 1     |  |   +--> HandingBack: told to leave, then Done
//!    |  |  +-- Listing, Marks <--+    |    v              |  | claimed at a higher epoch
//!    |  |         (epoch 1)      |    |  Reading ---------+  +--> Looking
//!    |  |                        |    |    | claimed at a higher epoch
//!    |  |              (epoch>1) |    |    +--> Looking
//!    |  all are claimed          v    | the holder's lease has expired, or it has handed the chunk back
//!    +----------------------> Watching+
//!                                |
//!                                +--> Done: all are committed, or nothing to claim for too long
//!   any state ----------------------> Done: the job was cancelled
//! ```
//!
//! Beside these states the worker has a heartbeat on a lane of its own: it writes the beat, looks for a
//! claim of its chunk at the next epoch, reads `cancel`, and rests.
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
//!   that no board writes are ignored. A chunk without claims is free again, a missing beat is written
//!   again, and a report that is listed but cannot be read is treated as missing.
//! - **A failed operation may have happened**, and may even happen later. It is repeated byte for
//!   byte until its result is known. When a claim already exists, it is read, because it may be the
//!   worker's own. When a report or a commit already exists, the operation has succeeded, no matter
//!   which worker wrote it.
//! - **Leaving.** A worker that is told to leave begins no call. It stores the reports of what has ended, and
//!   only then hands the chunk back: the next holder lists the reports after it has seen that, and claims the
//!   chunk without waiting for a lease. A worker that hands a chunk back and goes on with it would be the same
//!   as one whose claim was taken over too early, which the commit settles.
//! - **Which call is to blame.** Once an epoch was lost, calls run one by one, and each outcome is stored
//!   before the next call begins. The call at which an epoch ended follows from the keys alone. An epoch that
//!   was handed back is not lost. See `blame.rs`.
//! - **Cost.** A chunk that runs without failures costs two puts. In a large job a worker lists the claims of
//!   one page of a thousand chunks before its first claim and after its first chunk, and again when another
//!   worker was first; then it goes on within that page. Marks of full and finished pages keep every worker
//!   from listing every page. `cargo xtask simulate --board` prints what that comes to.
//! - **Marks are hints.** A chunk in a page that is marked as full is still found by the watch. A page that is
//!   marked as finished and is not, because a commit was removed or is damaged, is contradicted by the client.
//!
//! # A client
//!
//! ```text
//!   Resting --> Looking: cancelled? the commits of each open page, side by side --+--> Resting
//!      ^                                                                          +--> Done: all are committed
//!      |                                                                          +--> Closing: cancelled
//!      +--- the pause grows from 100 ms to `look` while nothing comes
//!   Closing: commits what is open as cancelled, then Done
//! ```
//!
//! A client reads no beats: its platform knows which workers live.
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
