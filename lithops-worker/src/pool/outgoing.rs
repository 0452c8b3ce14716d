//! [`Outgoing`]: frames on their way to the client, and to executors inside of calls.

use std::collections::BTreeMap;

use bytes::Bytes;
use lithops_core::{
    memory::Loan,
    protocol::{FrameKind, Outbox, frame_header},
};

use super::jobs::JobOwner;

/// A report of more bytes than this is sent from where it is: to copy it to the other frames would cost more than a
/// system call of its own.
const LARGE: usize = 64 << 10;
/// The most capacity that a buffer keeps between turns: one burst must not be paid for with its memory for ever.
const KEPT_CAPACITY: usize = 4 << 20;

/// Frames that are collected in a turn, for each receiver, and sent together at its end.
#[derive(Debug)]
pub(super) struct Outgoing {
    client: Receiver,
    /// The executors inside of calls that have sent something, by the slot they are in.
    executors: BTreeMap<u64, Receiver>,
    /// Frames of jobs that have no owner any more.
    unheard: Vec<u8>,
}

#[derive(Debug)]
struct Receiver {
    outbox: Outbox,
    frames: Vec<u8>,
}

impl Outgoing {
    pub(super) fn new(client: Outbox) -> Self {
        Self { client: Receiver::new(client), executors: BTreeMap::new(), unheard: Vec::new() }
    }

    /// Whether values can be lent to the client: both are on one machine.
    pub(super) fn client_shares(&self) -> bool {
        self.client.outbox.shares()
    }

    /// Opens the way to the executors in a slot.
    pub(super) fn open(&mut self, slot: u64, outbox: Outbox) {
        self.executors.insert(slot, Receiver::new(outbox));
    }

    /// Closes it. Returns whether it was open.
    pub(super) fn close(&mut self, slot: u64) -> bool {
        self.executors.remove(&slot).is_some()
    }

    /// Whether any call has an executor that has sent something. As a rule none has, and then nothing is to be done for
    /// nested jobs.
    pub(super) fn has_executors(&self) -> bool {
        !self.executors.is_empty()
    }

    /// Whether an owner is still there.
    pub(super) fn hears(&self, owner: JobOwner) -> bool {
        match owner {
            JobOwner::Client => true,
            JobOwner::Slot(slot) => self.executors.contains_key(&slot),
        }
    }

    /// Where frames for an owner are collected.
    pub(super) fn to(&mut self, owner: Option<JobOwner>) -> &mut Vec<u8> {
        match owner {
            Some(JobOwner::Client) => &mut self.client.frames,
            Some(JobOwner::Slot(slot)) => {
                self.executors.get_mut(&slot).map_or(&mut self.unheard, |executor| &mut executor.frames)
            }
            None => &mut self.unheard,
        }
    }

    /// Adds a report that a sub-worker has sent.
    pub(super) fn report(&mut self, owner: Option<JobOwner>, body: &Bytes) {
        let frames = self.to(owner);
        frames.extend_from_slice(&frame_header(FrameKind::Report, body.len()));
        if owner == Some(JobOwner::Client) && body.len() > LARGE {
            self.client.outbox.send_with(&self.client.frames, body);
            self.client.frames.clear();
        } else {
            frames.extend_from_slice(body);
        }
    }

    /// Passes on to the client a report whose last value is lent. Frames before it are sent first.
    pub(super) fn lent_report(&mut self, body: &[u8], loan: &Loan) {
        self.client.outbox.send(&self.client.frames);
        self.client.frames.clear();
        self.client.outbox.send_lent(FrameKind::Report, body, loan);
    }

    /// Sends what was collected.
    pub(super) fn send(&mut self) {
        self.unheard.clear();
        self.client.send();
        self.executors.values_mut().for_each(Receiver::send);
    }
}

impl Receiver {
    fn new(outbox: Outbox) -> Self {
        Self { outbox, frames: Vec::new() }
    }

    fn send(&mut self) {
        if self.frames.is_empty() {
            return;
        }
        self.outbox.send(&self.frames);
        self.frames.clear();
        if self.frames.capacity() > KEPT_CAPACITY {
            self.frames = Vec::new();
        }
    }
}
