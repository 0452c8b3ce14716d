//! [`StorageRetryPolicy`]: how requests to a storage behind a network are made: how many at once,
//! how often they are repeated, and after which pauses.

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

/// How long a failed request is repeated if the storage has never answered. Its address is more
/// likely wrong than the storage down, so that the error should come soon.
const FIRST: Duration = Duration::from_secs(4);
/// How long a failed request is repeated if the storage has answered before.
const TOTAL: Duration = Duration::from_secs(60);
/// The first pause before a request is repeated. Each further pause is twice as long.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause before a request is repeated.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The context of an error that has the HTTP status of an answer: the storage was reached.
const ANSWERED: &str = "status";
/// The context of an error after which a request is not repeated any more, at any level, so that
/// retries do not multiply.
const TRIES: &str = "tries";

/// How requests to a storage are made and repeated. Clones share the limit of simultaneous requests.
#[derive(Debug, Clone)]
pub struct StorageRetryPolicy {
    at_once: Option<Arc<Semaphore>>,
    shortest: Duration,
    longest: Duration,
    total: Duration,
    address: Option<String>,
    /// Whether the pauses are randomized.
    varies: bool,
    /// Whether the storage has ever answered.
    reached: Arc<AtomicBool>,
}

impl StorageRetryPolicy {
    /// The policy of a storage behind a network: at most 256 requests at once. A failed request is
    /// repeated for a minute, with pauses that double from 100 ms to 5 s. The pauses are
    /// randomized, so that clients do not return at the same time.
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

    /// The policy of this machine's own memory and files: each request is made once, without a limit.
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

    /// The policy for Lithops' own objects in a storage that repeats no request itself, such as the files of
    /// this machine: requests are repeated as long as over a network. The pauses are not randomized. Random
    /// pauses are for services with many clients, and runs of the simulator must be repeatable.
    fn own() -> Self {
        Self {
            shortest: SHORTEST_PAUSE,
            longest: LONGEST_PAUSE,
            total: TOTAL,
            reached: Arc::new(AtomicBool::new(true)),
            ..Self::none()
        }
    }

    /// Sets the address that errors name when no storage has ever answered there.
    #[must_use]
    pub fn of(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// Sets how long a failed request is repeated.
    #[must_use]
    pub fn with_total(mut self, total: Duration) -> Self {
        self.total = total;
        self
    }

    /// Makes a request until it succeeds, fails for good, or the time for retries is over. A request that
    /// another `StorageRetryPolicy` below this one has given up is not repeated, so that retries do not
    /// multiply. `request` is called with `true` when an earlier try has failed and may still have happened.
    ///
    /// # Errors
    /// The error of the last try, with the number of tries.
    pub async fn run<T, F, R>(&self, mut request: R) -> Result<T>
    where
        R: FnMut(bool) -> F,
        F: Future<Output = Result<T>>,
    {
        let _permit = match &self.at_once {
            // The semaphore is never closed, so that this cannot fail.
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

    /// The pause after this many tries.
    fn pause(&self, tries: u32) -> Duration {
        let doubled = self.shortest.saturating_mul(1 << (tries - 1).min(16)).min(self.longest);
        if !self.varies {
            return doubled;
        }
        // Each new `RandomState` has another seed, which is random enough to separate clients.
        let part = RandomState::new().hash_one(tries) % 1000;
        doubled.mul_f64(0.5 + part as f64 / 1000.0)
    }
}

/// Repeats an operation on Lithops' own objects while that may help. Where the storage repeats
/// requests itself, only its own retries apply. Retries take a minute in all.
pub(crate) async fn insist<T, F: Future<Output = Result<T>>>(mut operation: impl FnMut() -> F) -> Result<T> {
    StorageRetryPolicy::own().run(|_| operation()).await
}

/// Whether the same operation may succeed when it is repeated.
pub fn may_succeed_later(error: &Error) -> bool {
    error.retry() == Retry::Later || matches!(error.kind(), ErrorKind::RateLimited | ErrorKind::Timeout)
}

/// Whether the operation was repeated until its time was over, and failed each time.
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
