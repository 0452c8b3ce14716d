//! Parcels: values too large for a message, which go through the storage while a name and digests ride in it.
//!
//! ```text
//! client                                 storage                              worker
//!   | -- the arguments of a chunk, once --> lithops.jobs/<job>/parcel/<name> --> | the part it is to run, by range
//!   | -- StoredCalls: name, digests ----------------------------------------->   |
//!   | <- the outcomes, by blocks --------- lithops.jobs/<job>/parcel/<name> <-- | the outcomes of a report, once
//!   | <- StoredReport: name, digests ------------------------------------------ |
//! ```
//!
//! What is too large, a backend's `payload_limit` says. Every block is checked against its digest before it is used.

mod calls;
mod object;
mod report;

pub use calls::StoredCalls;
pub use object::{BLOCK, Parcel};
pub use report::StoredReport;
