//! [`Settings`] of the fake, and its [`Counts`].

use std::time::Duration;

use crate::images::Images;

/// What the fake does other than by default.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a request waits for an instance until it is answered with 429.
    pub queue: Duration,
    /// How long an instance may be idle.
    pub idle: Duration,
    /// How many of a hundred requests are answered with 429, with 503, or by a connection that is cut, in turn.
    pub faults: u64,
    /// The images that are there already: those of another fake, which are not pushed and unpacked again.
    pub images: Option<Images>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { queue: Duration::from_secs(10), idle: Duration::from_secs(60), faults: 0, images: None }
    }
}

impl Counts {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "requests": self.requests,
            "faults": self.faults,
            "refused": self.refused,
            "queued_out": self.queued_out,
            "reset": self.reset,
            "started": self.started,
            "writes": self.writes,
            "uploads": self.uploads,
            "most": self.most,
        })
    }
}

/// What has happened until now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests to services.
    pub requests: u64,
    /// Requests that met a fault on purpose.
    pub faults: u64,
    /// Requests without a token that is right.
    pub refused: u64,
    /// Requests that found no instance in time.
    pub queued_out: u64,
    /// Requests whose client went before the answer was over.
    pub reset: u64,
    /// Instances that were started.
    pub started: u64,
    /// Requests of the Admin API that have changed something.
    pub writes: u64,
    /// Blobs and manifests that were uploaded.
    pub uploads: u64,
    /// Instances at work, now.
    pub busy: u64,
    /// The most instances at work at once.
    pub most: u64,
}
