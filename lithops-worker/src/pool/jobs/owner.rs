//! [`JobOwner`]: who has started a job, and gets its logs and reports.

/// Who has started a job, and gets its logs and reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pool) enum JobOwner {
    /// The client of this worker.
    Client,
    /// The slot whose running call has started the job.
    Slot(u64),
}
