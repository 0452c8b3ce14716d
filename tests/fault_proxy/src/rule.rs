//! [`Rule`]: which requests meet which fault.

use std::time::{Duration, Instant};

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This status is answered, and the request does not reach the server.
    Status(u16),
    /// The server carries the request out, and this status is answered.
    StatusAfter(u16),
    /// The connection is reset, and the request does not reach the server.
    Reset,
    /// The server carries the request out, and the connection is reset.
    ResetAfter,
    /// The server carries the request out, and these bytes are the whole answer.
    Replace(&'static str),
    /// The connection ends after this many bytes of the answer's body, whose `Content-Length` is larger.
    Truncate(usize),
    /// The answer is late.
    Delay(Duration),
    /// There is never an answer.
    Hang,
}

/// Which requests meet a fault: all of them, unless the rule is narrowed.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(crate) fault: Fault,
    method: Option<String>,
    path: Option<String>,
    /// Every Nth request that matches meets the fault, from the first on.
    every: u64,
    left: u64,
    until: Option<Instant>,
    met: u64,
}

impl Rule {
    /// Every request meets the fault.
    #[must_use]
    pub fn new(fault: Fault) -> Self {
        Self { fault, method: None, path: None, every: 1, left: u64::MAX, until: None, met: 0 }
    }

    /// Only requests of this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only requests whose path and query contain this.
    #[must_use]
    pub fn path_contains(mut self, part: &str) -> Self {
        self.path = Some(part.to_owned());
        self
    }

    /// Only the first of every `count` requests that match.
    #[must_use]
    pub fn every(mut self, count: u64) -> Self {
        self.every = count.max(1);
        self
    }

    /// Only this many times.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.left = count;
        self
    }

    /// Only for this time from now on.
    #[must_use]
    pub fn lasting(mut self, duration: Duration) -> Self {
        self.until = Some(Instant::now() + duration);
        self
    }

    /// Whether a request meets the fault.
    pub(crate) fn meets(&mut self, method: &str, path: &str) -> bool {
        let is_meant = self.method.as_ref().is_none_or(|wanted| wanted == method)
            && self.path.as_ref().is_none_or(|part| path.contains(part))
            && self.until.is_none_or(|until| Instant::now() < until);
        if !is_meant || self.left == 0 {
            return false;
        }
        self.met += 1;
        let is_hit = (self.met - 1).is_multiple_of(self.every);
        self.left -= u64::from(is_hit);
        is_hit
    }
}
