//! [`Starts`]: how sub-workers are started, and when that is given up.

use bytes::Bytes;
use lithops_core::{
    error::{Error, ErrorKind, Result},
    protocol::{FrameKind, Program, frame_header},
};
use rustix::process::Signal;
use tokio::sync::mpsc;

use super::{
    exit_cause::Exit,
    shortage::{Shortage, has_spare_descriptors},
    slots::{self, LogText, Slot, SlotEvent},
};

/// When this many sub-workers in a row end by themselves before they say hello, none ever will.
const FALSE_STARTS: u32 = 3;
/// This many that are killed from outside meanwhile count as one: a kill says little of the next start.
const KILLED_STARTS: u32 = 10;

/// How sub-workers are started.
#[derive(Debug)]
pub(super) struct Starts {
    next_slot: u64,
    /// The frames that tell a new sub-worker the credentials of storages.
    secrets: Vec<u8>,
    /// For what happens to the slots.
    events: mpsc::UnboundedSender<SlotEvent>,
    /// Starts in a row that have failed, in parts: a kill is one part, an end by itself [`KILLED_STARTS`].
    failures: u32,
    shortage: Shortage,
    /// Whether more sub-workers are to be started at the next turn.
    pub(super) go_on: bool,
}

impl Starts {
    pub(super) fn new(events: mpsc::UnboundedSender<SlotEvent>) -> Self {
        Self {
            next_slot: 0,
            secrets: Vec::new(),
            events,
            failures: 0,
            shortage: Shortage::default(),
            go_on: false,
        }
    }

    /// Keeps credentials for the sub-workers to come.
    pub(super) fn add_secrets(&mut self, body: &Bytes) {
        self.secrets.extend_from_slice(&frame_header(FrameKind::Secrets, body.len()));
        self.secrets.extend_from_slice(body);
    }

    /// Starts a sub-worker beside `others`, unless it would take what these need.
    pub(super) fn start(&mut self, program: &Program, others: usize) -> Result<(u64, Slot)> {
        if others > 0 {
            has_spare_descriptors()?;
        }
        let number = self.next_slot;
        let slot = slots::start(number, program, &self.secrets, self.events.clone())?;
        self.next_slot += 1;
        Ok((number, slot))
    }

    /// Whether no start is to be tried yet.
    pub(super) fn are_paused(&mut self) -> bool {
        self.shortage.lasts()
    }

    /// Whether a start is to be tried later.
    pub(super) fn come_later(&self) -> bool {
        self.shortage.is_there()
    }

    /// A start has failed while there were `others`: they go on, and another start is tried later.
    ///
    /// # Errors
    /// That of the start, when there are no others and this has happened too often.
    pub(super) fn failed(&mut self, error: Error, others: usize) -> Result<()> {
        self.shortage.begins(error, others)
    }

    /// A sub-worker has said hello.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.shortage.ends();
    }

    /// A sub-worker has not said hello for longer than a start can take. Its end will be an error.
    pub(super) fn timed_out(&mut self) {
        self.failures = FALSE_STARTS * KILLED_STARTS;
    }

    /// A sub-worker has ended before it said hello.
    ///
    /// # Errors
    /// When none is up, and enough starts in a row have failed to say that none will succeed.
    pub(super) fn ended_early(&mut self, exit: Exit, output: &LogText, others_are_up: bool) -> Result<()> {
        if others_are_up {
            // The program is able to start: this sub-worker lacked something that may be there later.
            return self.shortage.begins(in_vain(), 1);
        }
        let killed = matches!(exit, Exit::Signal(signal) if signal == Signal::KILL.as_raw());
        self.failures += if killed { 1 } else { KILLED_STARTS };
        if !killed {
            self.shortage.begins(in_vain(), 1)?;
        }
        if self.failures < FALSE_STARTS * KILLED_STARTS {
            return Ok(());
        }
        let how = match exit {
            Exit::Code(code) => format!("exited with code {code}"),
            Exit::Signal(signal) => format!("died of signal {signal}"),
            Exit::Silent => "closed its channel and went on".to_owned(),
            Exit::Unknown => "ended, and how is not known".to_owned(),
        };
        let words = output.last_words();
        let words = if words.is_empty() { String::new() } else { format!(", saying: {words}") };
        Err(Error::new(
            ErrorKind::WorkerLost,
            format!("sub-workers end before they are up; the last {how}{words}"),
        )
        .with_hint("the program must reach `lithops::init()` first thing in `main`"))
    }
}

/// The failure of a start that begins a pause; the user never sees it.
fn in_vain() -> Error {
    Error::new(ErrorKind::WorkerLost, "a sub-worker has ended before it was up")
}
