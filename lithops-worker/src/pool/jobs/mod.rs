//! The jobs that the pool has calls of, as data: what belongs to one job alone.

mod chunk_commits;
mod due;
mod job;
mod owner;
mod payload_store;

pub(super) use chunk_commits::{Committed, Decision};
pub(super) use due::Due;
pub(super) use job::PoolJob;
pub(super) use owner::JobOwner;
pub(crate) use payload_store::PayloadStore;
pub(super) use payload_store::no_storage;
