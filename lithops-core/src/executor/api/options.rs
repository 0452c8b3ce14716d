//! The options of a job: [`RetryPolicy`], and the setters that all kinds of jobs share.

use std::time::Duration;

use crate::{
    error::{CallError, Error, ErrorKind, Result},
    executor::RetryIf,
    partition::ObjectOptions,
    plan::{Count, Durations, Objective, Workload},
    tracker::Policy,
};

/// How often a failed call is tried again, which failures are tried again, and how long to wait in between.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    pub(crate) policy: Policy,
    pub(crate) retry_if: Option<RetryIf>,
}

impl RetryPolicy {
    /// Tries a failed call at most `retries` more times, after pauses that double from 50 ms to 30 s, with
    /// jitter.
    #[must_use]
    pub fn new(retries: u32) -> Self {
        Self { policy: Policy { retries, ..Policy::default() }, retry_if: None }
    }

    /// Sets the pause before the second try, which doubles with each further try, and the longest pause.
    #[must_use]
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        (self.policy.backoff, self.policy.max_backoff) = (first, longest);
        self
    }

    /// Sets how often a call is tried again when its sub-worker or worker was lost; the default is 3. Such
    /// tries do not count as retries.
    #[must_use]
    pub fn losses(mut self, losses: u32) -> Self {
        self.policy.losses = losses;
        self
    }

    /// Sets which failures are tried again; by default all of them are.
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

/// The options that the program has set for a job; `None` leaves the choice to the executor.
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
    /// `None` leaves it to the executor.
    pub(crate) show_logs: Option<bool>,
    pub(crate) durable: bool,
    pub(crate) detached: bool,
    pub(crate) objects: ObjectOptions,
}

impl JobOptions {
    /// The workload that the options give; `None` if they give none.
    ///
    /// # Errors
    /// `InvalidInput`, when both `workload` and `expected_duration` are set.
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

    /// Whether the options say how long calls take, so that the history is not needed.
    pub(crate) fn says_durations(&self) -> bool {
        self.workload.is_some() || self.expected_duration.is_some()
    }
}

/// Writes the setters that every kind of job has, for a type with a field `options: JobOptions`.
macro_rules! common_options {
    () => {
        /// Sets how often a failed call is tried again. The default is that of the function's attribute, else
        /// 0.
        pub fn retries(mut self, retries: impl Into<$crate::executor::api::RetryPolicy>) -> Self {
            self.options.retries = Some(retries.into());
            self
        }

        /// Sets how long one call may run. The default is that of the function's attribute, else the
        /// configuration's.
        pub fn timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.options.timeout = Some(timeout);
            self
        }

        /// Adds environment variables for the calls. Their values are kept out of logs and errors.
        pub fn extra_env<K: Into<String>, V: Into<String>>(
            mut self,
            env: impl IntoIterator<Item = (K, V)>,
        ) -> Self {
            self.options.env.extend(env.into_iter().map(|(name, value)| (name.into(), value.into())));
            self
        }

        /// Sets whether what the calls print is shown on stderr, as
        /// [`Builder::show_logs`](crate::executor::Builder::show_logs) does for all jobs of an executor.
        pub fn show_logs(mut self, show: bool) -> Self {
            self.options.show_logs = Some(show);
            self
        }

        /// Sets whether the slowest calls get a backup attempt in a second worker while the first goes on,
        /// once most calls are done. The first attempt to succeed counts; side effects of the call may then
        /// happen twice. The option has no effect on backends that return all outcomes of a worker at once.
        pub fn speculate(mut self, speculate: bool) -> Self {
            self.options.speculate = speculate;
            self
        }
    };
}

/// Writes the setters of jobs that read objects, for a type with a field `options: JobOptions`.
macro_rules! object_options {
    () => {
        /// Cuts the objects of a [`DataSource`](crate::partition::DataSource) into parts of about this size,
        /// one call each. Parts begin and end at the boundaries of records.
        pub fn obj_chunk_size(mut self, size: $crate::partition::ByteSize) -> Self {
            self.options.objects.chunk_size = Some(size);
            self
        }

        /// Cuts each object of a [`DataSource`](crate::partition::DataSource) into `number` parts, at most
        /// one per byte.
        pub fn obj_chunk_number(mut self, number: u64) -> Self {
            self.options.objects.chunk_number = Some(number);
            self
        }

        /// Sets what ends a record; the default is `"\n"`. With `None`, objects are cut into exactly equal
        /// ranges.
        pub fn obj_newline(mut self, newline: Option<&str>) -> Self {
            self.options.objects.newline = Some(newline.map(str::to_owned));
            self
        }
    };
}

/// Writes the setters of jobs that can outlive their client.
macro_rules! durable_options {
    () => {
        /// Makes the job outlive this program: the inputs are stored before the job starts, the outcomes
        /// before they become visible, a chunk at a time, and another program can
        /// [`attach`](super::Executor::attach) to the job. Values of `extra_env` are not stored. The stored
        /// data is removed when the job is finished and its last handle is dropped.
        pub fn durable(mut self) -> Self {
            self.options.durable = true;
            self
        }

        /// As [`durable`](Self::durable), and the stored data is also kept when the handles are dropped, for
        /// another program to attach. When this program is interrupted, running workers go on.
        pub fn detach(mut self) -> Self {
            self.options.durable = true;
            self.options.detached = true;
            self
        }
    };
}

/// Writes the setters of jobs with many calls.
macro_rules! granularity_options {
    () => {
        /// Sets how many calls each worker is given at a time; the default is `worker_processes`. `Auto` lets
        /// the planner choose.
        pub fn chunksize(mut self, chunksize: impl Into<$crate::plan::Count>) -> Self {
            self.options.chunksize = Some(chunksize.into());
            self
        }

        /// Sets how many calls may run at once in one worker, for this job only. `Auto` lets the planner
        /// choose.
        pub fn worker_processes(mut self, worker_processes: impl Into<$crate::plan::Count>) -> Self {
            self.options.worker_processes = Some(worker_processes.into());
            self
        }

        /// Sets the memory of a worker, in MB, for this job only, on platforms that sell memory.
        pub fn runtime_memory(mut self, megabytes: usize) -> Self {
            self.options.runtime_memory = Some(megabytes);
            self
        }

        /// Sets what `Auto` minimizes: the time, the price, or their product.
        pub fn objective(mut self, objective: $crate::plan::Objective) -> Self {
            self.options.objective = Some(objective);
            self
        }

        /// Sets how long a call computes, for planning. Without it the planner uses the durations of earlier
        /// jobs of the function, or those that are measured while this job runs.
        pub fn expected_duration(mut self, each: ::std::time::Duration) -> Self {
            self.options.expected_duration = Some(each);
            self
        }

        /// As [`expected_duration`](Self::expected_duration), for calls of different durations, or that wait:
        /// `Workload::given("exponential:20ms".parse()?).with_cpu_share(0.1)?`.
        pub fn workload(mut self, workload: $crate::plan::Workload) -> Self {
            self.options.workload = Some(workload);
            self
        }

        /// Refuses to start the job when its plan predicts a cost of more than `usd` US dollars. Retries and
        /// lost workers are not part of the prediction, and cost extra.
        pub fn max_cost(mut self, usd: f64) -> Self {
            self.options.max_cost = Some(usd);
            self
        }
    };
}

pub(crate) use {common_options, durable_options, granularity_options, object_options};
