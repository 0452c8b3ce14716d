//! What can be said of a job: [`Count`], [`RetryPolicy`], and the options every kind of job has.

use std::time::Duration;

use super::RetryIf;
use crate::{error::CallError, job::Policy};

/// Lets the planner choose: `chunksize(Auto)`, `worker_processes(Auto)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Auto;

/// A number, or [`Auto`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// This number.
    Exactly(usize),
    /// The planner chooses: the backend's default.
    Auto,
}

impl From<usize> for Count {
    fn from(count: usize) -> Self {
        Self::Exactly(count)
    }
}

impl From<Auto> for Count {
    fn from(_: Auto) -> Self {
        Self::Auto
    }
}

impl Count {
    pub(crate) fn exact(self) -> Option<usize> {
        match self {
            Self::Exactly(count) => Some(count),
            Self::Auto => None,
        }
    }
}

/// How often a call is tried again, which failures are, and how long to wait in between.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    pub(crate) policy: Policy,
    pub(crate) retry_if: Option<RetryIf>,
}

impl RetryPolicy {
    /// Tries a failed call `retries` times more, after pauses that double from 50 ms to 30 s, with jitter.
    #[must_use]
    pub fn new(retries: u32) -> Self {
        Self { policy: Policy { retries, ..Policy::default() }, retry_if: None }
    }

    /// The pause before the second try, and the longest pause.
    #[must_use]
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        (self.policy.backoff, self.policy.max_backoff) = (first, longest);
        self
    }

    /// How often a call is tried again when its sub-worker or worker was lost; 3 times unless said otherwise. Such
    /// tries are not counted as retries.
    #[must_use]
    pub fn losses(mut self, losses: u32) -> Self {
        self.policy.losses = losses;
        self
    }

    /// Which failures are tried again; all of them unless said otherwise.
    #[must_use]
    pub fn when(mut self, retry_if: fn(&CallError) -> bool) -> Self {
        self.retry_if = Some(retry_if);
        self
    }
}

impl From<u32> for RetryPolicy {
    fn from(retries: u32) -> Self {
        Self::new(retries)
    }
}

/// What was said of a job.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobOptions {
    pub(crate) chunksize: Option<Count>,
    pub(crate) worker_processes: Option<Count>,
    pub(crate) retries: Option<RetryPolicy>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) speculate: bool,
    pub(crate) durable: bool,
    pub(crate) detached: bool,
}

/// Writes the options that every kind of job has; the type has a field `options: JobOptions`.
macro_rules! common_options {
    () => {
        /// How often a failed call is tried again; the function's attribute says so otherwise, or it is not.
        pub fn retries(mut self, retries: impl Into<$crate::executor::RetryPolicy>) -> Self {
            self.options.retries = Some(retries.into());
            self
        }

        /// How long one call may run.
        pub fn timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.options.timeout = Some(timeout);
            self
        }

        /// Environment variables of the calls. Their values are kept out of logs and errors.
        pub fn extra_env<K: Into<String>, V: Into<String>>(
            mut self,
            env: impl IntoIterator<Item = (K, V)>,
        ) -> Self {
            self.options.env.extend(env.into_iter().map(|(name, value)| (name.into(), value.into())));
            self
        }

        /// Whether the slowest calls are given to a second worker while the first goes on, once most are done. Of the
        /// two the first to succeed counts; what the call does outside itself may then happen twice. It has no effect
        /// where outcomes come back all at once.
        pub fn speculate(mut self, speculate: bool) -> Self {
            self.options.speculate = speculate;
            self
        }
    };
}

/// Writes the options of jobs that can outlive their client.
macro_rules! durable_options {
    () => {
        /// Makes the job survive this program: its inputs are stored before it starts, its outcomes before they are
        /// visible, a chunk at a time, and another program can [`attach`](super::Executor::attach) to it. Values of
        /// `extra_env` are not stored. What is stored goes when the job is finished and its last handle is dropped.
        pub fn durable(mut self) -> Self {
            self.options.durable = true;
            self
        }

        /// As [`durable`](Self::durable), and what is stored stays when the handles are dropped and when the program
        /// is interrupted: another program is to attach.
        pub fn detach(mut self) -> Self {
            self.options.durable = true;
            self.options.detached = true;
            self
        }
    };
}

/// Writes the options of jobs with many calls.
macro_rules! granularity_options {
    () => {
        /// How many calls each worker is given at a time; by default as many as `worker_processes`.
        pub fn chunksize(mut self, chunksize: impl Into<$crate::executor::Count>) -> Self {
            self.options.chunksize = Some(chunksize.into());
            self
        }

        /// How many calls may run at once in one worker, for this job only.
        pub fn worker_processes(mut self, worker_processes: impl Into<$crate::executor::Count>) -> Self {
            self.options.worker_processes = Some(worker_processes.into());
            self
        }
    };
}

pub(crate) use {common_options, durable_options, granularity_options};
