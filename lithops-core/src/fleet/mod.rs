//! A fleet: workers without a connection to their client. They find job manifests in the storage,
//! and share the chunks of each job over its board.
//!
//! ```text
//! lithops.fleets/<fleet>/jobs/<job>   the manifest of a job, signed with the fleet's key, while the job runs
//! lithops.jobs/<job>/                 the job: inputs, commits, cancel, as of every durable job
//! lithops.jobs/<job>/board/           the job's board: claims, beats, outcomes (`crate::board`)
//! ```
//!
//! A worker is given the key when it is launched, through a channel that only the client and the
//! worker know. The key is never stored. A worker does only what is signed with the key: the
//! manifest names the function, and holds the digests of all inputs.
//!
//! A board belongs to its job, so that two fleets can share one: the fleet of a client that is
//! gone, and the fleet of the client that continues the job.

mod client_fleet;
mod job_manifest;
mod job_queue;
mod outcomes;
mod stored_board;

pub use client_fleet::ClientFleet;
pub use job_manifest::JobManifest;
pub use job_queue::Fleet;
pub(crate) use job_queue::{AllManifests, all_manifests};
pub use outcomes::outcomes;
pub(crate) use stored_board::GIVEN_UP;
pub use stored_board::StoredBoard;
