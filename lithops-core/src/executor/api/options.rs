//! What can be said of a job: [`RetryPolicy`], and the options every kind of job has.

use std::time::Duration;

use crate::{
    error::{CallError, Error, ErrorKind, Result},
    executor::RetryIf,
    partition::ObjectOptions,
    plan::{Count, Durations, Objective, Workload},
    tracker::Policy,
};

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
    pub(crate) runtime_memory: Option<usize>,
    pub(crate) objective: Option<Objective>,
    pub(crate) expected_duration: Option<Duration>,
    pub(crate) workload: Option<Workload>,
    pub(crate) max_cost: Option<f64>,
    pub(crate) retries: Option<RetryPolicy>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) speculate: bool,
    pub(crate) durable: bool,
    pub(crate) detached: bool,
    pub(crate) objects: ObjectOptions,
}

impl JobOptions {
    /// What was said of the calls.
    pub(crate) fn workload(&self) -> Result<Option<Workload>> {
        match (&self.workload, self.expected_duration) {
            (Some(_), Some(_)) => Err(Error::new(
                ErrorKind::InvalidInput,
                "`expected_duration` and `workload` both say how long calls take",
            )
            .with_hint("leave out `.expected_duration(..)`: a workload says more")
            .with_context("key", "expected_duration")),
            (Some(workload), None) => Ok(Some(workload.clone())),
            (None, Some(each)) => Ok(Some(Workload::given(Durations::fixed(each.as_secs_f64())?))),
            (None, None) => Ok(None),
        }
    }

    pub(crate) fn says_durations(&self) -> bool {
        self.workload.is_some() || self.expected_duration.is_some()
    }
}

/// Writes the options that every kind of job has; the type has a field `options: JobOptions`.
macro_rules! common_options {
    () => {
        /// How often a failed call is tried again; the function's attribute says so otherwise, or it is not.
        pub fn retries(mut self, retries: impl Into<$crate::executor::api::RetryPolicy>) -> Self {
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

/// Writes the options of jobs that read objects; the type has a field `options: JobOptions`.
macro_rules! object_options {
    () => {
        /// Cuts the objects of a [`DataSource`](crate::partition::DataSource) into parts of about this size, one call
        /// each. A part begins and ends where records do.
        pub fn obj_chunk_size(mut self, size: $crate::partition::ByteSize) -> Self {
            self.options.objects.chunk_size = Some(size);
            self
        }

        /// Cuts each object of a [`DataSource`](crate::partition::DataSource) into so many parts, at most one per byte.
        pub fn obj_chunk_number(mut self, number: u64) -> Self {
            self.options.objects.chunk_number = Some(number);
            self
        }

        /// What ends a record, `"\n"` unless said otherwise; with `None` objects are cut into exactly equal ranges.
        pub fn obj_newline(mut self, newline: Option<&str>) -> Self {
            self.options.objects.newline = Some(newline.map(str::to_owned));
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
        /// How many calls each worker is given at a time; by default as many as `worker_processes`. `Auto` lets the
        /// planner choose.
        pub fn chunksize(mut self, chunksize: impl Into<$crate::plan::Count>) -> Self {
            self.options.chunksize = Some(chunksize.into());
            self
        }

        /// How many calls may run at once in one worker, for this job only. `Auto` lets the planner choose.
        pub fn worker_processes(mut self, worker_processes: impl Into<$crate::plan::Count>) -> Self {
            self.options.worker_processes = Some(worker_processes.into());
            self
        }

        /// The memory of a worker, in MB, for this job only, where the platform sells it.
        pub fn runtime_memory(mut self, megabytes: usize) -> Self {
            self.options.runtime_memory = Some(megabytes);
            self
        }

        /// What `Auto` is to make small: the time, the price, or their product.
        pub fn objective(mut self, objective: $crate::plan::Objective) -> Self {
            self.options.objective = Some(objective);
            self
        }

        /// How long a call computes, for planning. Without it the planner goes by what earlier jobs of the function
        /// took, or by what this one turns out to take.
        pub fn expected_duration(mut self, each: ::std::time::Duration) -> Self {
            self.options.expected_duration = Some(each);
            self
        }

        /// As [`expected_duration`](Self::expected_duration), for calls that differ or wait:
        /// `Workload::given("exponential:20ms".parse()?).with_cpu_share(0.1)?`.
        pub fn workload(mut self, workload: $crate::plan::Workload) -> Self {
            self.options.workload = Some(workload);
            self
        }

        /// Refuses to start the job when it is expected to cost more than so many US dollars. That is what the plan
        /// says: retries and the loss of workers come on top.
        pub fn max_cost(mut self, usd: f64) -> Self {
            self.options.max_cost = Some(usd);
            self
        }
    };
}

pub(crate) use {common_options, durable_options, granularity_options, object_options};
