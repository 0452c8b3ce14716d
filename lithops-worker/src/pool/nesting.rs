//! Jobs that calls start: whose they are, which calls wait for them, and how the sub-workers are shared with them.
//!
//! `worker_processes` bounds the calls that get on with their work. A call that waits for calls of its own does not,
//! and must not keep them from running. Deeper calls go first: then a call is only begun when every call that waits has
//! somewhere below it one that runs, so that there are never more than [`MAX_DEPTH`](lithops_core::nesting::MAX_DEPTH)
//! times as many that wait.

use std::collections::{BTreeMap, BTreeSet};

use lithops_core::{
    error::{Error, Result},
    id::JobId,
    protocol::{self, Cancel, Forget, Frame, FrameKind, Outbox},
};
use tokio::{net::UnixStream, sync::mpsc};

use super::{
    Pool,
    events::{SlotEvent, SlotEventKind},
    offspring,
    sharing::take_back_all,
};

/// Who has started a job and hears of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Client,
    /// The sub-worker whose call has started it.
    Slot(u64),
}

/// The executors inside of calls that have spoken, by the slot they are in.
#[derive(Debug, Default)]
pub(super) struct Nested {
    slots: BTreeMap<u64, Heard>,
    /// Frames of jobs that nobody waits for any more.
    unheard: Vec<u8>,
}

#[derive(Debug)]
struct Heard {
    outbox: Outbox,
    /// Frames that are sent together at the end of a turn.
    out: Vec<u8>,
}

impl Nested {
    /// Whether no call has started any job: the ordinary case, which is to cost nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether an owner is there still.
    pub(super) fn hears(&self, owner: Owner) -> bool {
        match owner {
            Owner::Client => true,
            Owner::Slot(slot) => self.slots.contains_key(&slot),
        }
    }

    /// Where frames for a slot's executors are collected.
    fn out(&mut self, slot: u64) -> &mut Vec<u8> {
        self.slots.get_mut(&slot).map_or(&mut self.unheard, |heard| &mut heard.out)
    }

    /// Sends what was collected.
    pub(super) fn send(&mut self) {
        self.unheard.clear();
        for Heard { outbox, out } in self.slots.values_mut().filter(|heard| !heard.out.is_empty()) {
            outbox.send(out);
            out.clear();
            // As with the client's: a burst must not be paid for with its memory for ever.
            if out.capacity() > 4 << 20 {
                *out = Vec::new();
            }
        }
    }
}

/// Forwards what executors inside of a slot's calls send. Most never do: buffers are made when the first byte comes.
pub(super) async fn listen(slot: u64, channel: UnixStream, events: mpsc::UnboundedSender<SlotEvent>) {
    if channel.readable().await.is_err() {
        return;
    }
    let send = |kind| {
        // The dispatcher is gone when the worker ends; nobody needs to know any more.
        let _ = events.send(SlotEvent { slot, kind });
    };
    let Ok((mut frames, outbox)) = channel.into_std().map_err(Error::from).and_then(protocol::channel) else {
        return;
    };
    let Ok(Some(first)) = frames.next().await else { return };
    send(SlotEventKind::NestedOpened(outbox));
    send(SlotEventKind::NestedFrame(first));
    while let Ok(Some(frame)) = frames.next().await {
        send(SlotEventKind::NestedFrame(frame));
    }
    send(SlotEventKind::NestedClosed);
}

impl Pool {
    /// A slot's executors have spoken for the first time.
    pub(super) fn open_nested(&mut self, slot: u64, outbox: Outbox) {
        if self.slots.contains_key(&slot) {
            self.nested.slots.insert(slot, Heard { outbox, out: Vec::new() });
        }
    }

    /// Takes in a frame of a slot's executors. What they say wrongly is held against them alone.
    pub(super) fn nested_frame(&mut self, slot: u64, frame: &Frame) -> Result<()> {
        if self.nested.slots.contains_key(&slot) && self.frame_of(Owner::Slot(slot), frame).is_err() {
            self.end_nested(slot)?;
        }
        Ok(())
    }

    /// Ends the jobs that a slot's calls have started: it has ended, or is heard no more.
    pub(super) fn end_nested(&mut self, slot: u64) -> Result<()> {
        if self.nested.slots.remove(&slot).is_none() {
            return Ok(());
        }
        let jobs = self.jobs.values().filter(|job| job.owner == Owner::Slot(slot));
        let jobs: Vec<_> = jobs.map(|job| job.spec.job).collect();
        jobs.into_iter().try_for_each(|job| self.forget(job))
    }

    /// Whether a job is there and is an owner's: nobody ends or feeds what another has started.
    pub(super) fn is_of(&self, owner: Owner, job: JobId) -> bool {
        self.jobs.get(&job).is_some_and(|job| job.owner == owner)
    }

    /// Drops a job, and ends what still runs of it.
    pub(super) fn forget(&mut self, job: JobId) -> Result<()> {
        /// Shared data of more bytes than this are not kept any longer than needed.
        const MUCH: usize = 64 << 10;

        // Nobody waits for what still runs of it, as after an error of the client's inputs.
        self.cancel(&Cancel { job, calls: vec![(0, u64::MAX)] });
        self.slots.values_mut().filter(|slot| slot.job() == Some(job)).for_each(|slot| slot.disowned = true);
        let forgotten = self.jobs.remove(&job);
        let shared = forgotten.map_or(0, |job| job.spec.shared.iter().map(|value| value.len()).sum());
        self.count_most();
        let mut frame = Vec::new();
        Frame::write(FrameKind::Forget, &Forget { job }, &mut frame)?;
        self.slots.values_mut().for_each(|slot| slot.forget(job, &frame, shared > MUCH));
        offspring::reap_orphans();
        if self.jobs.is_empty() {
            self.end_surplus();
        }
        Ok(())
    }

    /// Ends sub-workers that were only needed while others waited; what one level of nesting needs stays warm.
    fn end_surplus(&mut self) {
        let surplus = self.slots.len().saturating_sub(2 * self.widest);
        let idle = self.slots.iter().rev().filter(|(_, slot)| slot.is_idle()).map(|(number, _)| *number);
        // A sub-worker ends by itself when its channel does; its executors, if it has any, have nothing running.
        for number in idle.take(surplus).collect::<Vec<_>>() {
            self.slots.remove(&number);
            self.nested.slots.remove(&number);
        }
    }

    /// Where frames about a job go.
    pub(super) fn out_of(&mut self, job: JobId) -> &mut Vec<u8> {
        match self.jobs.get(&job).map(|job| job.owner) {
            Some(Owner::Client) => &mut self.out,
            Some(Owner::Slot(slot)) => self.nested.out(slot),
            None => &mut self.nested.unheard,
        }
    }

    /// The slots whose running call waits: calls of a job that it has started are not finished.
    pub(super) fn parents(&self) -> BTreeSet<u64> {
        if self.nested.is_empty() {
            return BTreeSet::new();
        }
        let open = self.jobs.values().filter(|job| job.queued > 0 || job.slots > 0);
        let parents = open.filter_map(|job| {
            let (Owner::Slot(number), Some(parent)) = (job.owner, job.spec.parent) else { return None };
            let (batch, index) = self.slots.get(&number)?.running()?;
            let run = batch.calls.run;
            // A call that has ended waits no more, and the one that runs after it has nothing to do with its jobs.
            (parent.job == run.job && parent.call == run.first + u64::from(index)).then_some(number)
        });
        parents.collect()
    }

    /// How many sub-workers are busy and do not wait.
    pub(super) fn busy(&self, parents: &BTreeSet<u64>) -> usize {
        self.slots.iter().filter(|(number, slot)| !slot.is_idle() && !parents.contains(number)).count()
    }

    /// How many more sub-workers may be busy.
    pub(super) fn room(&self) -> usize {
        self.most.saturating_sub(self.busy(&self.parents()))
    }

    /// How deep the deepest job is that has calls to give out.
    pub(super) fn deepest_waiting(&self) -> u32 {
        if self.nested.is_empty() {
            return 0;
        }
        self.jobs.values().filter(|job| job.waits()).map(|job| job.spec.depth).max().unwrap_or(0)
    }

    /// Takes back what was given in advance to slots whose call waits, and to those with shallower calls than wait.
    pub(super) fn make_way(&mut self) {
        if self.nested.is_empty() {
            return;
        }
        let (parents, deepest) = (self.parents(), self.deepest_waiting());
        for (number, slot) in &mut self.slots {
            let Some(job) = slot.job().and_then(|id| self.jobs.get_mut(&id)) else { continue };
            if parents.contains(number) || job.spec.depth < deepest {
                take_back_all(slot, job);
            }
        }
    }
}
