//! [`Values`]: the methods of futures that decode values.
//!
//! The methods exist twice, so that a function that returns `Result<T, E>` gives `T`: on
//! `FuturesList<Result<T, E>>` itself, and, reached by `Deref` when that one does not apply, on `Values<T>`.

use std::{ops::Deref, sync::Arc};

use serde::de::DeserializeOwned;

use super::{
    AsCompleted, FuturesList, ResponseFuture, ResponseValue, progress_bar, spin_wait,
    values::{Values, committed, decode_value, undecodable},
};
use crate::{
    error::{CallError, Error, ErrorKind, Result},
    executor::{
        api::Mode,
        job::{JobState, OutcomePart},
    },
    protocol::Tag,
};

/// `outcomes` lists at most this many calls that were cancelled together: their number can exceed the memory.
const LISTED: u64 = 1 << 20;

impl<R, M: Mode> Deref for ResponseFuture<R, M> {
    type Target = ResponseValue<R, M>;

    fn deref(&self) -> &ResponseValue<R, M> {
        &self.value
    }
}

macro_rules! list_methods {
    ($T:ident) => {
        /// Waits for all calls and returns their values, in the order of the inputs.
        ///
        /// # Errors
        /// The error of the first failed call, in the order of the inputs, once all calls have ended. The
        /// other calls keep their outcomes, which [`outcomes`](Self::outcomes) returns.
        pub fn get_result(&self) -> M::Out<Result<Vec<$T>>>
        where
            $T: DeserializeOwned + Send + 'static,
        {
            let job = Arc::clone(&self.job);
            M::run(async move {
                let mut values = Vec::new();
                finished(&job, |outcome| {
                    values.push(outcome?);
                    Ok(())
                })
                .await
                .map(|()| values)
            })
        }

        /// Waits for all calls and returns the outcome of each, in the order of the inputs.
        ///
        /// # Errors
        /// When the job as a whole could not go on, or more than 2^20 of its calls were cancelled together. A
        /// failed call is an `Err` in the list.
        pub fn outcomes(&self) -> M::Out<Result<Vec<Result<$T, CallError>>>>
        where
            $T: DeserializeOwned + Send + 'static,
        {
            let job = Arc::clone(&self.job);
            M::run(async move {
                let mut outcomes = Vec::new();
                finished(&job, |outcome| {
                    outcomes.push(outcome);
                    Ok(())
                })
                .await
                .map(|()| outcomes)
            })
        }

        /// The calls in the order in which they end: a `Stream`, or an `Iterator` in the blocking form.
        #[must_use]
        pub fn as_completed(&self) -> AsCompleted<$T, M> {
            AsCompleted::new(Arc::clone(&self.job))
        }
    };
}

macro_rules! call_methods {
    ($T:ident) => {
        /// Waits for the call and returns its value.
        ///
        /// # Errors
        /// The call's error, as an [`Error`] of kind `CallFailed`; or the job's.
        pub fn result(&self) -> M::Out<Result<$T>>
        where
            $T: DeserializeOwned + Send + 'static,
        {
            let (job, call) = (Arc::clone(&self.job), self.call);
            M::run(async move { outcome_of(&job, call).await?.map_err(Error::from) })
        }

        /// Waits for the call and returns its outcome.
        ///
        /// # Errors
        /// When the job as a whole could not go on.
        pub fn outcome(&self) -> M::Out<Result<Result<$T, CallError>>>
        where
            $T: DeserializeOwned + Send + 'static,
        {
            let (job, call) = (Arc::clone(&self.job), self.call);
            M::run(async move { outcome_of(&job, call).await })
        }
    };
}

impl<R, M: Mode> Values<R, M> {
    list_methods!(R);
}

impl<T, E, M: Mode> FuturesList<Result<T, E>, M> {
    list_methods!(T);
}

impl<R, M: Mode> ResponseValue<R, M> {
    call_methods!(R);
}

impl<T, E, M: Mode> ResponseFuture<Result<T, E>, M> {
    call_methods!(T);
}

/// Waits for the whole job, and passes every outcome to `take`, in the order of the calls. Values are decoded while
/// later calls run: at the end, one CPU would decode and the others would have nothing to do.
///
/// After an error of `take` no more is decoded, and the error is returned once the job has ended.
async fn finished<T: DeserializeOwned>(
    job: &Arc<JobState>,
    mut take: impl FnMut(Result<T, CallError>) -> Result<()>,
) -> Result<()> {
    let mut shown = Some(progress_bar::show(job));
    let mut next = 0;
    let mut never_made = 0;
    loop {
        job.wait_for(|outcomes, progress| {
            progress.is_finished() || outcomes.done().run_from(next) >= TOGETHER
        })
        .await?;
        let is_finished = job.progress().is_finished();
        if is_finished {
            drop(shown.take());
        }
        // The reports are cheap to clone. They are decoded outside of the lock, which may take long.
        let parts = job.read(|outcomes| outcomes.parts_from(next));
        for part in &parts {
            if let Err(error) = take_part(job, part, &mut never_made, &mut take) {
                job.wait_for(|_, progress| progress.is_finished()).await?;
                return Err(error);
            }
            next += part.calls();
        }
        if is_finished {
            return Ok(());
        }
    }
}

/// The number of calls that are decoded at once while others run: to wake up for each report would cost more than it saves.
const TOGETHER: u64 = 4096;

fn take_part<T: DeserializeOwned>(
    job: &JobState,
    part: &OutcomePart,
    never_made: &mut u64,
    take: &mut impl FnMut(Result<T, CallError>) -> Result<()>,
) -> Result<()> {
    *never_made = never_made.saturating_add(part.together().unwrap_or(0));
    for place in 0..part.calls() {
        let (report, index) = part.get(place);
        take(if report.tag(index) == Tag::Ok {
            decode_value(&report, index)
                .map_err(|error| undecodable(job, report.header.run.first + index as u64, &error))
        } else {
            Err(job.read(|outcomes| job.call_error(outcomes, &report, index)))
        })?;
        if *never_made > LISTED && part.together().is_some() {
            return Err(too_many_to_list(job, *never_made));
        }
    }
    Ok(())
}

fn too_many_to_list(job: &JobState, never_made: u64) -> Error {
    let known = job.progress().known;
    Error::new(
        ErrorKind::PayloadTooLarge,
        format!("the job has {known} calls, and the outcomes of {never_made} that were ended together are too many for a list"),
    )
    .with_hint("ask single calls with `futures.get(..)`, or take the calls one by one from `as_completed`")
}

/// Waits for one call and decodes its outcome.
async fn outcome_of<T: DeserializeOwned>(job: &Arc<JobState>, call: u64) -> Result<Result<T, CallError>> {
    let _shown = progress_bar::show(job);
    let ended = job.wait_for(|outcomes, progress| {
        outcomes.done().contains(call) || progress.complete && call >= progress.known
    });
    spin_wait::wait(job, ended).await?;
    committed(job, call).ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("the job has no call {call}"))
            .with_hint(format!("its calls are numbered 0 to {}", job.progress().known.saturating_sub(1)))
    })
}
