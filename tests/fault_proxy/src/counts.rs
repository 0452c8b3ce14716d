//! [`Counts`]: the requests and answers that have passed the proxy.

use std::collections::BTreeMap;

/// The requests and answers that have passed the proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that came, by method.
    pub requests: BTreeMap<String, u64>,
    /// Answers that were given, by status.
    pub answers: BTreeMap<u16, u64>,
    /// Requests that came, by path, without the query.
    pub paths: BTreeMap<String, u64>,
    /// Messages that broke a limit, in either direction.
    pub violations: u64,
    /// Requests that met a fault.
    pub faults: u64,
    /// Bytes of request bodies, by their `Content-Length`.
    pub bytes_up: u64,
    /// Bytes of answers that were passed on.
    pub bytes_down: u64,
    /// Requests that were under way.
    pub now: u64,
    /// The most that were under way at once.
    pub most: u64,
}

impl Counts {
    /// Requests whose path ends like this.
    #[must_use]
    pub fn ending(&self, end: &str) -> u64 {
        self.paths.iter().filter(|(path, _)| path.ends_with(end)).map(|(_, count)| count).sum()
    }

    /// All requests.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.requests.values().sum()
    }
}
