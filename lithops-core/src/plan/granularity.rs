//! [`Numbers`]: the numbers of a plan, and what they were chosen by.

use std::sync::Arc;

use super::{Chosen, Objective, Workload, model::Shape};
use crate::compute::Capabilities;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Numbers {
    pub(super) calls: u64,
    pub(super) worker_processes: usize,
    pub(super) chunksize: usize,
    pub(super) max_workers: usize,
    /// The sources of `worker_processes` and `chunksize`.
    pub(super) chosen: (Chosen, Chosen),
    pub(super) capabilities: Arc<Capabilities>,
    pub(super) workload: Option<Arc<Workload>>,
    pub(super) payload: Option<u64>,
    pub(super) objective: Objective,
}

impl Numbers {
    pub(super) fn shape(&self) -> Shape {
        Shape {
            calls: self.calls,
            worker_processes: self.worker_processes,
            chunksize: self.chunksize,
            max_workers: self.max_workers,
        }
    }
}
