//! [`Lease`]: the right to drive a job; and [`LeaseWatch`]: whether a client holds that right.

use std::time::Duration;

use tokio::time::Instant;

use super::{Journal, Owner};
use crate::error::Result;

/// The pause between two heartbeats of the client that drives a job.
pub const BEAT: Duration = Duration::from_secs(2);
/// The lease: a client whose beat has not changed for this long no longer drives the job.
pub const LEASE: Duration = Duration::from_secs(10);

/// The content of the last beat of a client that gives up its lease before it expires.
const RELEASED: &str = "released";

/// The right to drive a job. The client with the highest epoch has it.
#[derive(Debug)]
pub struct Lease {
    journal: Journal,
    epoch: u64,
    /// How many heartbeats were sent. The count is the content of the beat.
    beats: u64,
}

impl Lease {
    /// Takes the lease of an epoch; `None` when another client has already taken it.
    ///
    /// # Errors
    /// When the storage does not answer.
    pub async fn take(journal: &Journal, epoch: u64, owner: &Owner) -> Result<Option<Self>> {
        let taken = journal.put_lease(epoch, owner).await?;
        Ok(taken.then(|| Self { journal: journal.clone(), epoch, beats: 0 }))
    }

    /// The epoch of the lease, counted from 1.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Sends a heartbeat. Returns whether this lease is still the newest one.
    ///
    /// # Errors
    /// When the storage does not answer.
    pub async fn beat(&mut self) -> Result<bool> {
        self.beats += 1;
        self.journal.put_beat(self.epoch, &self.beats.to_string()).await?;
        Ok(self.journal.epochs().await?.last().is_none_or(|last| *last <= self.epoch))
    }

    /// Gives up the lease, so that other clients need not wait until it expires.
    ///
    /// # Errors
    /// When the storage does not answer. The lease then expires by itself.
    pub async fn release(self) -> Result<()> {
        self.journal.put_beat(self.epoch, RELEASED).await
    }
}

/// Whether a client drives a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched {
    /// A client drives the job, as far as the watcher can tell.
    Driven {
        /// The epoch of the client's lease.
        epoch: u64,
        /// The client's process; `None` if its lease is missing or damaged.
        owner: Option<Owner>,
    },
    /// No client drives the job: the last lease has expired or was released.
    Free {
        /// The epoch of the last lease; 0 when there was none.
        epoch: u64,
    },
}

/// What a client has seen of the lease of another client.
#[derive(Debug, Default)]
pub struct LeaseWatch {
    seen: Option<Sight>,
}

/// The last beat that was seen, and since when it has not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sight {
    epoch: u64,
    beat: Option<String>,
    since: Instant,
}

impl LeaseWatch {
    /// Checks whether a client drives the job. A lease expires only if this is called repeatedly.
    ///
    /// # Errors
    /// When the storage does not answer.
    pub async fn look(&mut self, journal: &Journal) -> Result<Watched> {
        let Some(epoch) = journal.epochs().await?.last().copied() else {
            return Ok(Watched::Free { epoch: 0 });
        };
        let owner = journal.lease(epoch).await?;
        let beat = journal.beat(epoch).await?;
        let gone = owner.as_ref().is_some_and(Owner::is_gone);
        let free = self.saw(epoch, beat, Instant::now()) || gone;
        Ok(if free { Watched::Free { epoch } } else { Watched::Driven { epoch, owner } })
    }

    /// Takes in the beat of an epoch. Returns whether the lease of the epoch is over.
    fn saw(&mut self, epoch: u64, beat: Option<String>, now: Instant) -> bool {
        if beat.as_deref() == Some(RELEASED) {
            return true;
        }
        match &self.seen {
            Some(sight) if sight.epoch == epoch && sight.beat == beat => now - sight.since >= LEASE,
            _ => {
                self.seen = Some(Sight { epoch, beat, since: now });
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        id::JobId,
        storage::{MemoryStorage, StorageClient},
    };

    fn journal() -> Journal {
        let storage = StorageClient::new(Arc::new(MemoryStorage::default()), "bucket");
        Journal::new(&storage, JobId::generate())
    }

    /// A process on an unknown machine.
    fn somebody() -> Owner {
        Owner { machine: None, ..Owner::this_process() }
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_several_gets_the_lease_and_it_expires_when_nothing_is_heard() {
        let journal = journal();
        let mut watch = LeaseWatch::default();
        assert_eq!(watch.look(&journal).await.expect("looks"), Watched::Free { epoch: 0 });
        let mut lease = Lease::take(&journal, 1, &somebody()).await.expect("asks").expect("the first");
        assert!(Lease::take(&journal, 1, &somebody()).await.expect("asks").is_none(), "the second");
        for _ in 0..20 {
            assert!(lease.beat().await.expect("beats"));
            assert!(matches!(watch.look(&journal).await.expect("looks"), Watched::Driven { epoch: 1, .. }));
            tokio::time::advance(BEAT).await;
        }
        tokio::time::advance(LEASE - BEAT * 2).await;
        assert!(matches!(watch.look(&journal).await.expect("looks"), Watched::Driven { .. }));
        tokio::time::advance(BEAT).await;
        assert_eq!(watch.look(&journal).await.expect("looks"), Watched::Free { epoch: 1 });
        Lease::take(&journal, 2, &somebody()).await.expect("asks").expect("the next epoch");
        assert!(!lease.beat().await.expect("beats"), "the first has lost it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_was_let_go_or_whose_process_is_gone_is_over_at_once() {
        let journal = journal();
        let lease = Lease::take(&journal, 1, &somebody()).await.expect("asks").expect("the first");
        lease.release().await.expect("lets go");
        assert_eq!(LeaseWatch::default().look(&journal).await.expect("looks"), Watched::Free { epoch: 1 });
        let dead = Owner { started: Some(1), ..Owner::this_process() };
        let _lease = Lease::take(&journal, 2, &dead).await.expect("asks").expect("the second");
        assert_eq!(LeaseWatch::default().look(&journal).await.expect("looks"), Watched::Free { epoch: 2 });
    }
}
