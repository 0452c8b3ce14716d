//! [`ClientWatch`]: looks whether the client of a fleet lives, has news, or wants no worker any more.

use std::time::Duration;

use lithops_core::{
    error::Result,
    fleet::{ClientState, Fleet},
    storage::may_succeed_later,
};
use tokio::time::Instant;

/// The manifests are listed after this time although the client has said nothing new: what it says may be lost.
const LIST_ANYWAY: Duration = Duration::from_secs(30);

/// After this time of failures alone the worker gives the storage up, as it does with the requests of boards.
const GIVEN_UP: Duration = Duration::from_secs(300);

/// For this long after its last chunk a worker looks more often, by this factor: a program that has got its results often
/// starts the next job at once.
pub(super) const FRESH: Duration = Duration::from_secs(10);
/// See [`FRESH`].
pub(super) const FRESH_LOOKS: u32 = 2;

/// What a look has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing has changed.
    Nothing,
    /// Manifests may have been put or removed.
    News,
    /// The client wants no worker any more once its jobs have ended.
    Closed,
    /// The client has been silent for too long: only detached jobs go on.
    Gone,
}

/// Looks at what the client of a fleet says of itself. Each look is one request for one short object.
#[derive(Debug)]
pub(super) struct ClientWatch {
    /// How long the client may be silent.
    orphan: Duration,
    last: Option<ClientState>,
    /// When the client was last heard of, by this worker's clock, and when the manifests were last listed.
    heard: Instant,
    listed: Option<Instant>,
    /// Since when the object could not be read.
    failing_since: Option<Instant>,
}

impl ClientWatch {
    pub(super) fn new(orphan: Duration) -> Self {
        Self { orphan, last: None, heard: Instant::now(), listed: None, failing_since: None }
    }

    /// Looks once.
    ///
    /// # Errors
    /// When the storage can never be read, or has failed for five minutes.
    pub(super) async fn look(&mut self, fleet: &Fleet) -> Result<Seen> {
        let state = match fleet.client().await {
            Ok(state) => state,
            Err(error) if may_succeed_later(&error) => {
                let lasts = self.failing_since.get_or_insert_with(Instant::now).elapsed();
                return match self.heard.elapsed() >= self.orphan {
                    _ if lasts >= GIVEN_UP => Err(error),
                    true => Ok(Seen::Gone),
                    false => Ok(Seen::Nothing),
                };
            }
            Err(error) => return Err(error),
        };
        self.failing_since = None;
        let before = std::mem::replace(&mut self.last, state);
        if state.is_some() && state != before {
            self.heard = Instant::now();
        }
        if self.heard.elapsed() >= self.orphan {
            return Ok(Seen::Gone);
        }
        // A client that ends removes the object.
        if state.is_none_or(|state| state.is_closed) {
            return Ok(Seen::Closed);
        }
        let news = |state: Option<ClientState>| state.map(|state| state.news);
        let is_due = self.listed.is_none_or(|listed| listed.elapsed() >= LIST_ANYWAY);
        Ok(if is_due || news(before) != news(state) { Seen::News } else { Seen::Nothing })
    }

    /// When the client will have been silent for too long, unless it is heard of before.
    pub(super) fn gone_at(&self) -> Option<Instant> {
        self.heard.checked_add(self.orphan)
    }

    /// Notes that the manifests were listed.
    pub(super) fn listed(&mut self) {
        self.listed = Some(Instant::now());
    }
}
