//! A fleet: workers without a connection to their client. They find job manifests in the storage,
//! and share the chunks of each job over its board.
//!
//! ```text
//! lithops.fleets/<fleet>/jobs/<job>   the manifest of a job, signed with the fleet's key, while the job runs
//! lithops.fleets/<fleet>/client       what the client says of itself: that it lives, has news, or closes the fleet
//! lithops.fleets/<fleet>/ended/<name> why a worker has ended, when it cannot serve
//! lithops.fleets/<fleet>/checked/<name> what a worker has found that only tries whether it could serve
//! lithops.jobs/<job>/                 the job: inputs, commits, cancel, as of every durable job
//! lithops.jobs/<job>/board/           the job's board: claims, beats, outcomes (`crate::board`)
//! ```
//!
//! A worker is launched with the key that verifies, which is no secret. The key that signs stays in the
//! client's memory and is never stored. A worker does only what is signed with it: the manifest names the
//! function, and holds the digests of all inputs.
//!
//! A worker ends when its client has closed the fleet or has been silent for too long, unless a job is
//! detached; when it has found no job for too long; and when it is told to leave.
//!
//! A board belongs to its job, so that two fleets can share one: the fleet of a client that is
//! gone, and the fleet of the client that continues the job.

mod checked;
mod client_fleet;
mod client_fleets;
mod client_state;
mod job_manifest;
mod job_queue;
mod leftovers;
mod outcomes;
mod stored_board;

pub use checked::{CheckedPlace, checked_prefix};
pub use client_fleet::ClientFleet;
pub use client_fleets::ClientFleets;
pub use client_state::ClientState;
pub use job_manifest::JobManifest;
pub use job_queue::Fleet;
pub(crate) use job_queue::{AllManifests, all_manifests};
pub use leftovers::Leftovers;
pub use outcomes::outcomes;
pub(crate) use stored_board::GIVEN_UP;
pub use stored_board::StoredBoard;
