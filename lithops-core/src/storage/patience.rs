//! [`StorageRetryPolicy`]: how a storage behind a network is asked: how many requests at once, how often again, and after which
//! pauses.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Semaphore, time::Instant};

use crate::error::{Error, ErrorKind, Result, Retry};

/// A storage that has never answered is more likely written wrongly than down: that is told soon.
const FIRST: Duration = Duration::from_secs(4);
/// For how long a storage that has answered before is asked again.
const TOTAL: Duration = Duration::from_secs(60);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The context of an error that has the status of an answer.
const ANSWERED: &str = "status";
/// The context of an error after which a request was given up: making it again is over, wherever it was made.
const TRIES: &str = "tries";

/// How a storage is asked. Clones share the limit of requests at once.
#[derive(Debug, Clone)]
pub struct StorageRetryPolicy {
    at_once: Option<Arc<Semaphore>>,
    shortest: Duration,
    longest: Duration,
    total: Duration,
    address: Option<String>,
    /// Whether pauses vary.
    varies: bool,
    /// Whether the storage has ever answered.
    reached: Arc<AtomicBool>,
}

impl StorageRetryPolicy {
    /// What becomes of a storage behind a network: 256 requests at once; one that fails for a while is made again for
    /// a minute, with pauses that double from 100 ms to 5 s and vary, so that clients do not come back together.
    #[must_use]
    pub fn network() -> Self {
        Self {
            at_once: Some(Arc::new(Semaphore::new(256))),
            shortest: SHORTEST_PAUSE,
            longest: LONGEST_PAUSE,
            total: TOTAL,
            address: None,
            varies: true,
            reached: Arc::default(),
        }
    }

    /// Every request once, as many as come: what becomes of this machine's own memory and files.
    #[must_use]
    pub fn none() -> Self {
        Self {
            at_once: None,
            shortest: Duration::ZERO,
            longest: Duration::ZERO,
            total: Duration::ZERO,
            address: None,
            varies: false,
            reached: Arc::default(),
        }
    }

    /// What becomes of Lithops' own objects in a storage that makes no request again itself, such as the files of this
    /// machine: they are asked for as long as those of a network. The pauses do not vary: that is for services that
    /// many clients ask, and runs of the simulator are to be repeatable.
    fn own() -> Self {
        Self {
            shortest: SHORTEST_PAUSE,
            longest: LONGEST_PAUSE,
            total: TOTAL,
            reached: Arc::new(AtomicBool::new(true)),
            ..Self::none()
        }
    }

    /// The address that errors name when nobody has ever answered there.
    #[must_use]
    pub fn of(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// For how long a request is made again.
    #[must_use]
    pub fn with_total(mut self, total: Duration) -> Self {
        self.total = total;
        self
    }

    /// Makes a request until it succeeds, fails for good, or patience is at an end: its own, or that of another
    /// `StorageRetryPolicy` below it, so that retries do not multiply. `request` is told whether an earlier try has failed in
    /// such a way that it may have happened all the same.
    ///
    /// # Errors
    /// What the last try said, with how often it was made.
    pub async fn run<T, F, R>(&self, mut request: R) -> Result<T>
    where
        R: FnMut(bool) -> F,
        F: Future<Output = Result<T>>,
    {
        let _permit = match &self.at_once {
            // Nobody closes it.
            Some(semaphore) => semaphore.acquire().await.ok(),
            None => None,
        };
        let begun = Instant::now();
        let mut tries = 0u32;
        loop {
            let error = match request(tries > 0).await {
                Err(error) if may_succeed_later(&error) && !was_given_up(&error) => error,
                outcome => {
                    self.reached.store(true, Ordering::Relaxed);
                    return outcome;
                }
            };
            tries += 1;
            if error.context().any(|(name, _)| name == ANSWERED) {
                self.reached.store(true, Ordering::Relaxed);
            }
            let pause = self.pause(tries);
            let total = if self.reached.load(Ordering::Relaxed) { self.total } else { self.total.min(FIRST) };
            if begun.elapsed() + pause >= total {
                let error = match &self.address {
                    Some(address) if !self.reached.load(Ordering::Relaxed) => error
                        .with_hint(format!("is `{address}` the address of the storage, and does it run?")),
                    _ => error,
                };
                if self.total.is_zero() {
                    return Err(error);
                }
                let tried = format!("{tries} in {:.1} s", begun.elapsed().as_secs_f64());
                return Err(error.with_context(TRIES, tried));
            }
            tracing::info!(%error, tries, ?pause, "a request to the storage failed and is made again");
            tokio::time::sleep(pause).await;
        }
    }

    fn pause(&self, tries: u32) -> Duration {
        let doubled = self.shortest.saturating_mul(1 << (tries - 1).min(16)).min(self.longest);
        if !self.varies {
            return doubled;
        }
        // A new `RandomState` is seeded anew: enough to tell clients apart.
        let part = RandomState::new().hash_one(tries) % 1000;
        doubled.mul_f64(0.5 + part as f64 / 1000.0)
    }
}

/// Makes an operation on Lithops' own objects again while that may help, in a storage that does so itself and in one
/// that does not: a minute in all, of whichever makes it again.
pub(crate) async fn insist<T, F: Future<Output = Result<T>>>(mut operation: impl FnMut() -> F) -> Result<T> {
    StorageRetryPolicy::own().run(|_| operation()).await
}

/// Whether the same operation may succeed when it is tried again.
pub(crate) fn may_succeed_later(error: &Error) -> bool {
    error.retry() == Retry::Later || matches!(error.kind(), ErrorKind::RateLimited | ErrorKind::Timeout)
}

/// Whether the operation was made again for as long as is reasonable, and the storage failed it every time.
pub(crate) fn was_given_up(error: &Error) -> bool {
    error.context().any(|(name, _)| name == TRIES)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn fault(retry: Retry) -> Error {
        Error::new(ErrorKind::Io, "no").with_retry(retry)
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_succeed_later_is_tried_again() {
        let asked = Cell::new(0);
        let request = |again| {
            assert_eq!(again, asked.get() > 0);
            asked.set(asked.get() + 1);
            let done = asked.get() == 4;
            async move { if done { Ok(7) } else { Err(fault(Retry::Later)) } }
        };
        assert_eq!(StorageRetryPolicy::network().run(request).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn what_fails_for_good_is_asked_once() {
        let asked = Cell::new(0);
        let request = |_| {
            asked.set(asked.get() + 1);
            async { Err::<(), _>(fault(Retry::Never)) }
        };
        StorageRetryPolicy::network().run(request).await.unwrap_err();
        assert_eq!(asked.get(), 1);
        let error = StorageRetryPolicy::none()
            .run(|_| async { Err::<(), _>(fault(Retry::Later)) })
            .await
            .unwrap_err();
        assert_eq!(error.context().count(), 0);
    }

    #[test]
    fn pauses_double_and_vary_within_bounds() {
        let patience = StorageRetryPolicy::network();
        for (tries, least, most) in [(1, 50, 150), (2, 100, 300), (20, 2500, 7500)] {
            let pause = patience.pause(tries).as_millis();
            assert!((least..=most).contains(&pause), "{tries}: {pause}");
        }
    }
}
