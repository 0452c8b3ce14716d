//! What is stored of a durable job, so that it survives its client.
//!
//! ```text
//! lithops.jobs/<job>/
//!   record              what the job is; stored last, so that whoever sees it sees a whole job
//!   inputs/<segment>    encoded arguments, in order
//!   shared/<number>     encoded values of `Shared<T>` parameters
//!   lease/<epoch>       put if absent: who drives the job
//!   beat/<epoch>        overwritten by that client while it lives, and at last with the word that it has let go
//!   commit/<chunk>      put if absent: the outcomes of all calls of a chunk
//!   commit/<chunk>-<n>-damaged  a reader has found those of generation n damaged: the next one, commit/<chunk>-<n+1>,
//!                       is put in their place
//!   part/<calls>        outcomes of a part of a chunk, or with failures to be tried again, where workers have no other
//!                       way to report them
//!   reader/<name>       a client that reads the job: nothing is removed before the last of them has read it
//!   cancel              somebody wants the job ended
//! ```
//!
//! A chunk's outcomes are visible once they are under `commit/`: whoever puts them first has committed them, whoever
//! comes later drops what it has and takes what is there. So every reader sees the same outcome of a call, whatever
//! happens to workers and clients, and however many of them run the call.
//!
//! Everything that is stored and believed later has a digest, of its content and of its name; inputs have theirs in the
//! record, and beats say nothing but that they change. What is damaged is told with its key. Damaged outcomes are not
//! removed, which could remove those that another has put there meanwhile: they are marked, and from then on count as
//! never put. So the chunk is run again, and whoever reads comes to the same conclusion at any time.
//!
//! One client drives a job at a time, the one that has put the highest `lease/<epoch>`; others read:
//!
//! ```text
//!             nobody drives: put lease/<epoch + 1>
//!   watching -------------------------------------> driving ----+ beat
//!      ^  ^    (another was first: still watching)   |  |  ^    |
//!      |  +------------------------------------------+  |  +----+
//!      |        a higher epoch is seen                  | all chunks are committed, or the job cannot go on
//!      |                                                v
//!      +--- the same beat for the whole lease,       released
//!           or its process is gone: nobody drives
//! ```
//!
//! Times are measured on the watcher's own clock, from when it first saw a beat: clocks of two machines are never
//! compared.

mod bundle;
mod commits;
mod contents;
mod host;
mod keys;
mod lease;
mod owner;
mod record;
mod sealed;
mod segment;
mod survey;

pub use bundle::ChunkOutcomes;
pub use commits::Stored;
pub(crate) use commits::standing;
pub use contents::Journal;
pub(crate) use contents::is_damage;
pub use lease::{BEAT, LEASE, Lease, LeaseWatch, Watched};
pub use owner::Owner;
pub use record::JobRecord;
pub(crate) use sealed::{open, seal};
pub use segment::Segment;
pub use survey::{Survey, Traces};
