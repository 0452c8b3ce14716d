//! One sub-worker as its worker sees it: the process, its channel, its output, its memory, and what it leaves behind.

mod events;
mod log_pipe;
mod memory;
mod offspring;
mod slot;
mod start;
mod usage;

#[cfg(any(feature = "http", feature = "lambda"))]
pub(crate) use memory::limit_to;

pub(crate) use memory::memory_limit;

pub(super) use events::{SlotEvent, SlotEventKind};
pub(crate) use log_pipe::MARK_LEN;
pub(super) use log_pipe::{LIMIT_WITHOUT_JOB, LogText};
pub(super) use memory::{Memory, resident};
pub(super) use offspring::reap_orphans;
pub(super) use slot::{Doing, Slot, log_entry};
pub(super) use start::start;
pub(super) use usage::Usage;
