//! [`Patience`]: how a storage behind a network is asked: how many requests at once, how often again, and after which
//! pauses.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

use crate::error::{Error, Result, Retry};

/// A storage that has never answered is more likely written wrongly than down: that is told soon.
const FIRST: Duration = Duration::from_secs(4);
/// The context of an error that has the status of an answer.
const ANSWERED: &str = "status";

/// How a storage is asked. Clones share the limit of requests at once.
#[derive(Debug, Clone)]
pub struct Patience {
    at_once: Option<Arc<Semaphore>>,
    shortest: Duration,
    longest: Duration,
    total: Duration,
    address: Option<String>,
    /// Whether the storage has ever answered.
    reached: Arc<AtomicBool>,
}

impl Patience {
    /// What becomes of a storage behind a network: 256 requests at once; one that fails for a while is made again for
    /// a minute, with pauses that double from 100 ms to 5 s and vary, so that clients do not come back together.
    #[must_use]
    pub fn network() -> Self {
        Self {
            at_once: Some(Arc::new(Semaphore::new(256))),
            shortest: Duration::from_millis(100),
            longest: Duration::from_secs(5),
            total: Duration::from_secs(60),
            address: None,
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
            reached: Arc::default(),
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

    /// Makes a request until it succeeds, fails for good, or patience is at an end. `request` is told whether an
    /// earlier try has failed in such a way that it may have happened all the same.
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
                Err(error) if error.retry() == Retry::Later => error,
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
                return Err(gave_up(error, tries, begun.elapsed()));
            }
            tracing::info!(%error, tries, ?pause, "a request to the storage failed and is made again");
            tokio::time::sleep(pause).await;
        }
    }

    fn pause(&self, tries: u32) -> Duration {
        let doubled = self.shortest.saturating_mul(1 << (tries - 1).min(16)).min(self.longest);
        // A new `RandomState` is seeded anew: enough to tell clients apart.
        let part = RandomState::new().hash_one(tries) % 1000;
        doubled.mul_f64(0.5 + part as f64 / 1000.0)
    }
}

fn gave_up(error: Error, tries: u32, elapsed: Duration) -> Error {
    match tries {
        1 => error,
        _ => error.with_context("tries", format!("{tries} in {:.1} s", elapsed.as_secs_f64())),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::error::ErrorKind;

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
        assert_eq!(Patience::network().run(request).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn what_fails_for_good_is_asked_once() {
        let asked = Cell::new(0);
        let request = |_| {
            asked.set(asked.get() + 1);
            async { Err::<(), _>(fault(Retry::Never)) }
        };
        Patience::network().run(request).await.unwrap_err();
        assert_eq!(asked.get(), 1);
        let error = Patience::none().run(|_| async { Err::<(), _>(fault(Retry::Later)) }).await.unwrap_err();
        assert_eq!(error.context().count(), 0);
    }

    #[test]
    fn pauses_double_and_vary_within_bounds() {
        let patience = Patience::network();
        for (tries, least, most) in [(1, 50, 150), (2, 100, 300), (20, 2500, 7500)] {
            let pause = patience.pause(tries).as_millis();
            assert!((least..=most).contains(&pause), "{tries}: {pause}");
        }
    }
}
