//! [`Wait`]: waits for some or all calls of a job.

use std::{future::IntoFuture, marker::PhantomData, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use super::{ResponseFuture, progress_bar};
use crate::{
    error::{Error, ErrorKind, Result},
    executor::{
        api::{Async, Blocking, Mode},
        job::{JobState, Progress},
    },
    runtime,
};

/// `wait` refuses to list the handles of more calls than this: the list would take gigabytes.
const LISTED: u64 = 1 << 26;

/// When a [`Wait`] ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnWhen {
    /// All calls have an outcome.
    AllCompleted,
    /// At least one call has an outcome.
    AnyCompleted,
    /// At once, without waiting.
    Always,
    /// At least this many percent of the calls have an outcome, once their number is known.
    Percent(u8),
}

type Lists<R, M> = (Vec<ResponseFuture<R, M>>, Vec<ResponseFuture<R, M>>);

/// A wait before it begins: options, then `.await?` (or `.run()?` in the blocking form).
#[must_use = "waiting begins when it is awaited, or with `.run()` in the blocking form"]
#[derive(Debug)]
pub struct Wait<R, M: Mode> {
    job: Arc<JobState>,
    return_when: ReturnWhen,
    timeout: Option<Duration>,
    types: PhantomData<fn() -> (R, M)>,
}

impl<R, M: Mode> Wait<R, M> {
    pub(crate) fn new(job: Arc<JobState>) -> Self {
        Self { job, return_when: ReturnWhen::AllCompleted, timeout: None, types: PhantomData }
    }

    /// Sets when the wait ends; the default is when all calls have an outcome.
    pub fn return_when(mut self, return_when: ReturnWhen) -> Self {
        self.return_when = return_when;
        self
    }

    /// Sets how long to wait at most. A wait that times out is no error, and the job goes on.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Waits, and returns the handles of the calls with an outcome, and of those without.
    async fn lists(self) -> Result<Lists<R, M>> {
        if let ReturnWhen::Percent(percent) = self.return_when
            && percent > 100
        {
            return Err(Error::new(ErrorKind::InvalidInput, format!("`Percent({percent})` is above 100")));
        }
        let return_when = self.return_when;
        let _shown = progress_bar::show(&self.job);
        let waited = self.job.wait_for(move |_, progress| enough(return_when, progress));
        match self.timeout {
            // A wait that times out returns the present lists; only a job that cannot go on is an error.
            Some(timeout) => {
                if let Ok(waited) = tokio::time::timeout(timeout, waited).await {
                    waited?;
                }
            }
            None => waited.await?,
        }
        let known = self.job.progress().known;
        let (done, open) = self
            .job
            .read(|outcomes| (outcomes.done().iter().collect::<Vec<_>>(), outcomes.done().missing(0, known)));
        let listed = |ranges: &[(u64, u64)]| ranges.iter().map(|(first, end)| end - first).sum::<u64>();
        if listed(&done).saturating_add(listed(&open)) > LISTED {
            return Err(Error::new(
                ErrorKind::PayloadTooLarge,
                format!("the job has {known} calls, and `wait` lists the handles of all"),
            )
            .with_hint("take the calls from `as_completed` as they end, or look at `progress()`"));
        }
        let handles = |ranges: Vec<(u64, u64)>| {
            let calls = ranges.into_iter().flat_map(|(first, end)| first..end);
            calls.map(|call| ResponseFuture::new(Arc::clone(&self.job), call)).collect()
        };
        Ok((handles(done), handles(open)))
    }
}

/// Whether enough calls have an outcome for the wait to end.
fn enough(return_when: ReturnWhen, progress: &Progress) -> bool {
    match return_when {
        ReturnWhen::Always => true,
        ReturnWhen::AnyCompleted => progress.done > 0 || progress.is_finished(),
        ReturnWhen::AllCompleted => progress.is_finished(),
        ReturnWhen::Percent(percent) => {
            progress.complete
                && u128::from(progress.done) * 100 >= u128::from(progress.known) * u128::from(percent)
        }
    }
}

impl<R: 'static> IntoFuture for Wait<R, Async> {
    type Output = Result<Lists<R, Async>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        // The timer needs the driver's runtime; spawned there, any runtime, or none, can wait for it.
        Box::pin(async move {
            let waiting = runtime::start()?.spawn(self.lists());
            waiting
                .await
                .map_err(|error| Error::new(ErrorKind::Unexpected, format!("waiting ended: {error}")))?
        })
    }
}

impl<R: 'static> Wait<R, Blocking> {
    /// Waits, and returns the handles of the calls with an outcome, and of those without.
    ///
    /// # Errors
    /// When the job as a whole cannot go on, or has more calls (2^26) than a list of handles can have.
    pub fn run(self) -> Result<Lists<R, Blocking>> {
        Blocking::run(self.lists())
    }
}
