//! [`Due`]: until when a job may run calls, because the platform ends the worker then.

use std::time::Duration;

use lithops_core::protocol::{Deadline, HandBack};

use crate::{clock, pool::exit_cause::EndReason};

/// A call that has had this part of the time is not tried again: all of it would hardly be enough.
const NEARLY_ALL: f64 = 0.9;

/// Until when a job may run calls, in nanoseconds of the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(in crate::pool) struct Due {
    /// When the time began.
    began: u64,
    /// When no further call may begin.
    pub(in crate::pool) last_start: u64,
    /// When calls that still run are ended.
    pub(in crate::pool) end: u64,
    /// The time that the platform gives; `None` when it ends the worker before that.
    within: Option<Duration>,
}

impl Due {
    /// A time that begins now.
    pub(in crate::pool) fn of(deadline: &Deadline) -> Self {
        let began = clock::monotonic();
        let after = |span: Duration| began.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
        let Deadline { within, .. } = *deadline;
        Self {
            began,
            last_start: after(deadline.last_start()),
            end: after(deadline.end()),
            within: Some(within),
        }
    }

    /// The time of a worker that was told to leave: it begins nothing more.
    pub(in crate::pool) fn told(told: &HandBack) -> Self {
        let now = clock::monotonic();
        let within = u64::try_from(told.within.as_nanos()).unwrap_or(u64::MAX);
        Self { began: now, last_start: now, end: now.saturating_add(within), within: None }
    }

    /// Why a call that began at `begun_at` is ended: it has had nearly all of the time, or it gets another try.
    pub(in crate::pool) fn ending(&self, begun_at: u64) -> EndReason {
        let had = self.end.saturating_sub(begun_at.max(self.began));
        let had_all = had as f64 >= NEARLY_ALL * self.end.saturating_sub(self.began) as f64;
        match self.within.filter(|_| had_all) {
            Some(within) => EndReason::Deadline(within),
            None => EndReason::CutShort,
        }
    }
}
