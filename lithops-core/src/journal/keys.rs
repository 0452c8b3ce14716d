//! The keys of the objects of a job.

use crate::{id::JobId, storage::own_keys::JOBS};

/// The length of a job id with the slash after it.
pub(super) const JOB_LEN: usize = 37;
/// The largest accepted gap between two epochs, whose keys have ten digits. An epoch further away
/// was written by another program.
pub(super) const LONGEST_GAP: u64 = 1000;

/// The keys of one job. Numbers are padded with zeros, so that keys are listed in the order of the numbers.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    folder: String,
}

impl Keys {
    pub(super) fn of(job: JobId) -> Self {
        Self { folder: format!("{JOBS}{job}/") }
    }

    pub(super) fn folder(&self) -> &str {
        &self.folder
    }

    pub(super) fn record(&self) -> String {
        format!("{}record", self.folder)
    }

    pub(super) fn cancel(&self) -> String {
        format!("{}cancel", self.folder)
    }

    pub(super) fn stop(&self) -> String {
        format!("{}stop", self.folder)
    }

    pub(super) fn waiting(&self) -> String {
        format!("{}waiting", self.folder)
    }

    pub(super) fn inputs(&self, segment: u64) -> String {
        format!("{}inputs/{segment:010}", self.folder)
    }

    pub(super) fn shared(&self, number: usize) -> String {
        format!("{}shared/{number:010}", self.folder)
    }

    pub(super) fn blob(&self, name: &str) -> String {
        format!("{}parcel/{name}", self.folder)
    }

    pub(super) fn leases(&self) -> String {
        format!("{}lease/", self.folder)
    }

    pub(super) fn lease(&self, epoch: u64) -> String {
        format!("{}lease/{epoch:010}", self.folder)
    }

    pub(super) fn beat(&self, epoch: u64) -> String {
        format!("{}beat/{epoch:010}", self.folder)
    }

    pub(super) fn readers(&self) -> String {
        format!("{}reader/", self.folder)
    }

    pub(super) fn reader(&self, name: &str) -> String {
        format!("{}reader/{name}", self.folder)
    }

    pub(super) fn removable(&self) -> String {
        format!("{}removable", self.folder)
    }

    pub(super) fn commits(&self) -> String {
        format!("{}commit/", self.folder)
    }

    /// The key of the outcomes of a chunk. Generation n + 1 replaces generation n, which a reader
    /// found damaged.
    pub(super) fn commit(&self, chunk: u64, generation: u32) -> String {
        match generation {
            0 => format!("{}commit/{chunk:012}", self.folder),
            _ => format!("{}commit/{chunk:012}-{generation}", self.folder),
        }
    }

    /// The key of the mark that the outcomes of this generation are damaged.
    pub(super) fn damage(&self, chunk: u64, generation: u32) -> String {
        format!("{}commit/{chunk:012}-{generation}-damaged", self.folder)
    }
}

/// The epoch at the end of a key; `None` unless it has exactly ten digits.
pub(super) fn epoch(key: &str) -> Option<u64> {
    let name = key.rsplit('/').next()?;
    let epoch: u64 = name.parse().ok()?;
    (format!("{epoch:010}") == name && name.len() == 10).then_some(epoch)
}
