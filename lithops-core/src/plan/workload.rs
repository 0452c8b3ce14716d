//! [`Workload`]: what is known of the calls of a job besides their number.

use std::fmt;

use super::Durations;
use crate::error::{Error, ErrorKind, Result};

/// What is known of the calls of a job: how long they take, and how much of that on a CPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// How long a call takes when nothing else competes for the CPUs.
    pub durations: Durations,
    /// The part of that time in which the call needs a CPU: 1 for a call that computes, near 0 for one that
    /// waits.
    pub cpu_share: f64,
    /// The source of these numbers.
    pub basis: Basis,
}

/// The source of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Basis {
    /// The user has given it.
    Given,
    /// Measured in earlier jobs of the same function.
    History {
        /// How many calls those jobs had.
        calls: u64,
    },
    /// Measured in the job itself, so far.
    Measured {
        /// How many calls were measured.
        calls: u64,
    },
}

impl Workload {
    /// A workload that the user has given: calls with these durations, which compute all the time.
    #[must_use]
    pub fn given(durations: Durations) -> Self {
        Self { durations, cpu_share: 1.0, basis: Basis::Given }
    }

    /// The same workload with another part of the time in which a call needs a CPU.
    ///
    /// # Errors
    /// `InvalidInput` when the share is not a number from 0 to 1.
    pub fn with_cpu_share(mut self, share: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&share) {
            return Err(Error::new(ErrorKind::InvalidInput, format!("the CPU share of calls is {share}"))
                .with_hint("write a number from 0 (calls wait) to 1 (calls compute)")
                .with_context("key", "cpu_share"));
        }
        self.cpu_share = share;
        Ok(self)
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "calls take {}, {:.0} % of it on a CPU", self.durations, self.cpu_share * 100.0)?;
        match self.basis {
            Basis::Given => Ok(()),
            Basis::History { calls } => write!(f, " (from {calls} earlier calls)"),
            Basis::Measured { calls } => write!(f, " (measured on {calls} calls of this job)"),
        }
    }
}
