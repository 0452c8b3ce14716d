//! The board: how a fleet of workers that nobody feeds shares the chunks of a job, over an object store alone.
//!
//! Everything is sans-io: [`BoardWorker`] and [`BoardClient`] say what to ask the storage, are told what it answers and
//! what time it is, and never wait themselves. Of the storage they use put-if-absent, get and list, and an overwriting
//! put for beats; no time that a storage or another machine has written is ever read.
//!
//! ```text
//! claims/<chunk>/<epoch>                 put-if-absent: the name of the worker that holds the chunk in this epoch
//! beat/<worker>                          overwritten with a count while the worker lives
//! outcomes/<chunk>/<epoch>/<first>-<end> a report of some calls, so that the next holder need not run them again
//! commit/<chunk>                         put-if-absent: the outcomes of all calls of the chunk
//! cancel                                 exists when the job was cancelled
//! ```
//!
//! # A worker
//!
//! ```text
//!              a chunk nobody            stored, or            all calls        stored, or
//!              has claimed               it is its own         have outcomes    it exists
//!   Looking ------------------> Claiming --------------> Running --------> Committing ---> Looking
//!    |  ^  ^                     |    ^  \                ^  |
//!    |  |  | another has claimed |    |   \ epoch > 1     |  | claimed at a higher epoch, or its claim is gone
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
//! Beside that, on a lane of its own, its heart: beats, looks at the claims of the chunk it holds, looks for `cancel`,
//! rests.
//!
//! - **A commit is the outcomes themselves**, not the name of an epoch whose outcomes count: who wins the one put has
//!   committed, who loses drops what it has, and a reader has nothing to look up and nothing that could be missing.
//! - **Leases.** A claim is another's to take when its holder's beat stands still for the lease on the observer's own
//!   clock. Two may then run the same calls, if the holder was only asleep; it finds out when it next beats or, after a
//!   sleep it can tell, before it starts another call, and at the latest when its commit is too late.
//! - **What is there may go, and what comes may be anybody's.** Nothing is computed from a number that is only written
//!   somewhere: epochs that nobody has claimed blame nobody, and keys, names and epochs that no board writes are passed
//!   over. A worker whose claim is gone gives the chunk up, a chunk without claims is free again, a beat is written anew,
//!   and a report that is listed and cannot be had is done without.
//! - **An operation that failed may have happened**, and may even happen later. It is repeated byte for byte until it
//!   is known. A claim that exists is read: it may be one's own. A report or a commit that exists is there, whoever
//!   wrote it.
//! - **Who is to blame.** From epoch 2 on calls run one by one, each outcome stored before the next begins; the call an
//!   epoch ended at is known from the keys alone. See `blame.rs`.
//! - **Cost.** A worker tries a free chunk without looking, from a place that its name decides, and looks at a page of
//!   a thousand chunks only when another was there first. A chunk that goes well costs two puts.
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
//! Whoever cancels, and every client that sees it, commits the open chunks as cancelled. Workers stop when they see it;
//! a commit that is faster than the client's stands.

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
