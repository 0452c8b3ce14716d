//! [`Logs`]: what calls have printed.

use serde::{Deserialize, Serialize};

use crate::{bytes::Bytes, id::JobId};

/// What some calls of a job have printed; arrives before the report of those calls.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Logs {
    /// The job of the calls.
    pub job: JobId,
    /// One entry per call that printed something.
    pub entries: Vec<LogEntry>,
}

/// What one attempt of a call has printed on stdout and stderr, in order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogEntry {
    /// The number of the call in its job.
    pub call: u64,
    /// The attempt that printed, from 1.
    pub attempt: u32,
    /// The first bytes, as many as the job's `log_limit` allows.
    pub head: Bytes,
    /// How many bytes were left out between head and tail.
    pub dropped: u64,
    /// The last bytes; empty unless some were left out.
    pub tail: Bytes,
}

impl LogEntry {
    /// The log as text, with a note of how much was left out.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.head).into_owned();
        if self.dropped > 0 {
            text.push_str(&format!("\n[... {} bytes left out ...]\n", self.dropped));
            text.push_str(&String::from_utf8_lossy(&self.tail));
        }
        text
    }

    /// The last `limit` bytes, as text.
    #[must_use]
    pub fn last(&self, limit: usize) -> String {
        let last = if self.dropped > 0 { &self.tail } else { &self.head };
        String::from_utf8_lossy(&last[last.len().saturating_sub(limit)..]).into_owned()
    }
}
