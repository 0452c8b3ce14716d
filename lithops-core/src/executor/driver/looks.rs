//! [`Looks`]: outcomes that come back through the storage, where there is no other way back.

use std::{collections::HashSet, time::Duration};

use futures_util::{StreamExt, TryStreamExt, future::BoxFuture, stream};
use tokio::time::Instant;

use super::run::Driver;
use crate::{
    error::{CallErrorKind, Error, Result},
    journal::{Bundle, Journal},
    protocol::Report,
    tracker::Tracking,
};

/// It is looked for outcomes this often at first, and less often while there are none.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);
/// So many bundles are read at once.
const AT_ONCE: usize = 32;

/// What a look has found: committed chunks, and parts of chunks that are not.
#[derive(Debug, Default)]
pub(super) struct Found {
    committed: Vec<Bundle>,
    parts: Vec<(String, Bundle)>,
}

/// Looking for outcomes in the storage.
pub(super) struct Looks {
    journal: Journal,
    calls: u64,
    chunksize: u64,
    seen: HashSet<String>,
    going_on: Option<BoxFuture<'static, Result<Found>>>,
    next: Instant,
    pause: Duration,
    /// Workers that have ended: what they have stored may not have been seen. Those of the second list have been
    /// looked for since.
    ended: Vec<(u64, String)>,
    looked_for: Vec<(u64, String)>,
}

impl Looks {
    pub(super) fn new(journal: Journal, calls: u64, chunksize: u64) -> Self {
        Self {
            journal,
            calls,
            chunksize: chunksize.max(1),
            seen: HashSet::new(),
            going_on: None,
            next: Instant::now() + FIRST,
            pause: FIRST,
            ended: Vec::new(),
            looked_for: Vec::new(),
        }
    }

    /// When to look again; `None` while that is going on.
    pub(super) fn due(&self) -> Option<Instant> {
        self.going_on.is_none().then_some(self.next)
    }

    /// A worker has ended, or is given up: its calls are lost unless the next look finds them.
    pub(super) fn ended(&mut self, number: u64, reason: String) {
        if !self.ended.iter().chain(&self.looked_for).any(|(other, _)| *other == number) {
            self.ended.push((number, reason));
            self.next = Instant::now();
        }
    }

    /// What the look that is going on finds. Pends when none is.
    pub(super) async fn found(&mut self) -> Result<Found> {
        let Some(going_on) = &mut self.going_on else { return std::future::pending().await };
        let found = going_on.await;
        self.going_on = None;
        found
    }

    /// Begins to look.
    fn begin(&mut self, is_visible: impl Fn(u64) -> bool) {
        let (journal, calls, chunksize) = (self.journal.clone(), self.calls, self.chunksize);
        self.looked_for = std::mem::take(&mut self.ended);
        let seen = self.seen.clone();
        let visible: HashSet<u64> =
            (0..calls.div_ceil(chunksize)).filter(|chunk| is_visible(chunk * chunksize)).collect();
        self.going_on = Some(Box::pin(async move {
            let ours = |chunk: &u64| *chunk < calls.div_ceil(chunksize) && !visible.contains(chunk);
            let chunks = journal.committed().await?.into_iter().filter(ours);
            let bundles = stream::iter(chunks.collect::<Vec<_>>()).map(|chunk| {
                let first = chunk * chunksize;
                journal.bundle(chunk, (first, first.saturating_add(chunksize).min(calls)))
            });
            // What is damaged is run again.
            let committed = bundles
                .buffer_unordered(AT_ONCE)
                .try_filter_map(|bundle| std::future::ready(Ok(bundle)))
                .try_collect()
                .await?;
            let parts = journal.parts().await?.into_iter().filter(|key| !seen.contains(key));
            let parts = stream::iter(parts.collect::<Vec<_>>()).map(|key| async {
                let part = journal.part(&key, calls).await?.unwrap_or_default();
                Ok::<_, Error>((key, part))
            });
            let parts = parts.buffer_unordered(AT_ONCE).try_collect().await?;
            Ok(Found { committed, parts })
        }));
    }
}

impl<T: Tracking> Driver<T> {
    /// Looks for outcomes, if it is time to.
    pub(super) fn look(&mut self) {
        let (Some(looks), Some(shelf)) = (&mut self.looks, &self.shelf) else { return };
        if looks.due().is_some_and(|due| due <= Instant::now()) {
            looks.begin(|call| shelf.is_visible(call));
        }
    }

    /// Takes in what was found.
    pub(super) fn found(&mut self, found: Found) -> Result<()> {
        // What is found may be of calls that no worker of this client was given: another client's workers had them.
        self.holes = true;
        let any = !(found.committed.is_empty() && found.parts.is_empty());
        for bundle in found.committed {
            if let Some(report) = bundle.reports.first() {
                let job = report.header.run.job;
                self.job.add_logs(crate::protocol::Logs { job, entries: bundle.logs });
            }
            for mut report in bundle.reports {
                report.header.stored = true;
                self.take_found(&report)?;
            }
        }
        for (name, bundle) in found.parts {
            bundle.reports.iter().try_for_each(|report| self.take_found(report))?;
            if let Some(looks) = &mut self.looks {
                looks.seen.insert(name);
            }
        }
        // They were given nothing else, and have ended or are about to. What is found may be of another attempt, and
        // then whoever holds the calls has still to report them.
        for number in self.workers.idle_ones() {
            if !self.tracker.holds(number) {
                self.workers.remove(number);
            }
        }
        let Some(looks) = &mut self.looks else { return Ok(()) };
        looks.pause = if any { FIRST } else { (looks.pause * 2).min(LONGEST) };
        looks.next = Instant::now() + if looks.ended.is_empty() { looks.pause } else { Duration::ZERO };
        for (number, reason) in std::mem::take(&mut looks.looked_for) {
            self.lost_as(number, CallErrorKind::WorkerLost, reason);
        }
        Ok(())
    }

    /// Takes in what was found, of calls that the job has.
    fn take_found(&mut self, report: &Report) -> Result<()> {
        let calls = self.looks.as_ref().map_or(0, |looks| looks.calls);
        if report.header.run.end() <= calls { self.take_report(None, report) } else { Ok(()) }
    }
}

/// What a look finds, where looks are needed at all.
pub(super) async fn next_found(looks: &mut Option<Looks>) -> Result<Found> {
    match looks {
        Some(looks) => looks.found().await,
        None => std::future::pending().await,
    }
}
