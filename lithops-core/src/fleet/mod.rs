//! A fleet: workers that nobody feeds, which find their jobs in the storage and share the chunks over its board.
//!
//! ```text
//! lithops.fleets/<fleet>/jobs/<job>   what the fleet is to do, signed with the fleet's key: there while it is wanted
//! lithops.jobs/<job>/                 the job: inputs, commits, cancel, as of every durable job
//! lithops.jobs/<job>/board/           its board: claims, beats, outcomes (`crate::board`)
//! ```
//!
//! The key is given to a worker when it is launched, over a way that only the two know, and is never stored. A worker
//! does nothing that is not signed with it: the post names the function, and holds the digests of all inputs.
//!
//! A board goes with its job, and so two fleets can share one: that of a client which is gone, and that of the client
//! which goes on with the job.

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
