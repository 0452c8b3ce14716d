//! The stored objects of a durable job, which let the job survive its client.
//!
//! ```text
//! lithops.jobs/<job>/
//!   record              the description of the job; stored last, so that a job with a record is complete
//!   inputs/<segment>    encoded arguments, in order
//!   shared/<number>     encoded values of `Shared<T>` parameters
//!   lease/<epoch>       put if absent: the client that drives the job in this epoch
//!   beat/<epoch>        overwritten at each heartbeat of that client, and at last with `released`
//!   commit/<chunk>      put if absent: the outcomes of all calls of a chunk
//!   commit/<chunk>-<n>-damaged  a reader has found generation n of the outcomes damaged; generation n + 1,
//!                       commit/<chunk>-<n+1>, replaces it
//!   part/<calls>        outcomes of a part of a chunk, or with failures to retry, if workers have no other
//!                       way to report them
//!   reader/<name>       a client that reads the job: nothing is removed before the last reader has finished
//!   removable           the job is finished and its last handle was dropped while readers were left: the last
//!                       of them removes the job
//!   cancel              a client has cancelled the job
//!   stop                workers that cannot be told to end are to end what they run
//!   waiting             how many workers the platform cannot start for now, and why
//! ```
//!
//! Offloaded payloads are stored there too, under the keys of [`Journal::blob`].
//!
//! The outcomes of a chunk are visible once they are stored under `commit/`. The process that puts
//! them first has committed them. A process that comes later drops its own outcomes and uses the
//! stored ones. So every reader sees the same outcome of a call, whichever workers and clients
//! fail, and however many of them run the call.
//!
//! Every stored object that is trusted later has a digest of its content and of its name. The digests of
//! inputs are in the record, and beats need none, since only their change matters. An error about a damaged
//! object names its key. Damaged outcomes are not removed, because the removal could hit outcomes that
//! another process has put there meanwhile. They are marked as damaged, and from then on count as never
//! stored. So the chunk is run again, and every reader comes to the same conclusion at any time.
//!
//! One client drives a job at a time, the one that has put the highest `lease/<epoch>`; all others
//! only read:
//!
//! ```text
//!             no driver: put lease/<epoch + 1>
//!   watching -------------------------------------> driving ----+ beat
//!      ^  ^    (another was first: still watching)   |  |  ^    |
//!      |  +------------------------------------------+  |  +----+
//!      |        a higher epoch is seen                  | all chunks are committed, or the job cannot go on
//!      |                                                v
//!      +--- the same beat for the whole lease,       released
//!           or its process is gone: no driver
//! ```
//!
//! Times are measured on the watcher's own clock, from when the watcher first saw a beat. The
//! clocks of two machines are never compared.

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
mod waiting;

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
pub use waiting::Waiting;
