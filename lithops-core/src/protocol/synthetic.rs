//! Reports that no worker has sent: for calls that were lost, cancelled, or never had an argument.

use std::time::{Duration, SystemTime};

use super::{HEADER_LEN, Report, ReportBuilder, ReportHeader, Run, Tag};
use crate::{
    error::{CallError, CallErrorKind},
    id::{ActivationId, JobId},
};

/// The most calls in one report of [`failed_together`]: a job may have far more calls than one frame should
/// carry.
const MOST: u64 = 1 << 16;

/// The present time, in nanoseconds since the Unix epoch.
#[must_use]
pub fn now_nanos() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The header of outcomes that no process has reported.
#[must_use]
pub fn blank_header(run: Run) -> ReportHeader {
    ReportHeader {
        run,
        batch: 0,
        batch_done: true,
        stored: false,
        pid: 0,
        queued_at: now_nanos(),
        cpu: Duration::ZERO,
        peak_memory: 0,
        delay: Duration::ZERO,
    }
}

/// A report in which every call has failed with its encoded error.
///
/// # Panics
/// When there are not as many errors as calls.
#[must_use]
pub fn failed_report(header: &ReportHeader, errors: &[&[u8]]) -> Report {
    made(header, Tag::Failed, errors)
}

fn made(header: &ReportHeader, tag: Tag, errors: &[&[u8]]) -> Report {
    let mut builder = ReportBuilder::default();
    let now = now_nanos();
    for error in errors {
        builder.value().extend_from_slice(error);
        builder.end_call(tag, now, now);
    }
    let mut frame = Vec::new();
    builder.drain_into(header, &mut frame);
    let body = bytes::Bytes::from(frame).slice(HEADER_LEN..);
    Report::read(&body).expect("it was just written")
}

/// A report in which every call comes back without having been begun.
#[must_use]
pub fn unstarted_report(run: Run) -> Report {
    made(&blank_header(run), Tag::Unstarted, &vec![[].as_slice(); run.count as usize])
}

/// A report in which every call is lost, and none is to blame.
#[must_use]
pub fn lost_report(run: Run, why: &str) -> Report {
    let error = CallError::new(CallErrorKind::WorkerLost, why).encode();
    made(&blank_header(run), Tag::Lost, &vec![error.as_slice(); run.count as usize])
}

/// Reports in which calls that were never begun have all failed with the same encoded error. The calls are
/// given as ranges `first..end`.
pub fn failed_together(job: JobId, calls: Vec<(u64, u64)>, error: &[u8]) -> impl Iterator<Item = Report> {
    let parts = calls.into_iter().flat_map(|(first, end)| {
        (first..end).step_by(MOST as usize).map(move |from| (from, (end - from).min(MOST)))
    });
    parts.map(move |(first, count)| {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let activation = ActivationId(0);
        let run = Run { job, activation, offset: 0, chunksize: 1, attempt: 1, first, count };
        failed_report(&blank_header(run), &vec![error; count as usize])
    })
}
