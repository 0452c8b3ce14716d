//! [`Values`]: the part of a list of futures that decodes values; and the decoding of one call's value.

use std::{marker::PhantomData, sync::Arc};

use serde::de::DeserializeOwned;

use crate::{
    error::{CallError, CallErrorKind},
    executor::{api::Mode, job::JobState},
    id::CallId,
    protocol::Report,
    value,
};

/// The part of a [`FuturesList`](super::FuturesList) whose methods decode values of type `R`.
#[derive(Debug)]
pub struct Values<R, M: Mode> {
    pub(crate) job: Arc<JobState>,
    pub(crate) types: PhantomData<fn() -> (R, M)>,
}

/// The decoded outcome of a call; `None` if the call has none yet.
pub(crate) fn committed<T: DeserializeOwned>(job: &JobState, call: u64) -> Option<Result<T, CallError>> {
    let report = job.report_of(call)?;
    Some(if report.tag(0) == crate::protocol::Tag::Ok {
        decode_value(&report, 0).map_err(|error| undecodable(job, call, &error))
    } else {
        Err(job.read(|outcomes| job.call_error(outcomes, &report, 0)))
    })
}

/// The error of a call that returned, but whose value does not decode.
pub(crate) fn undecodable(job: &JobState, call: u64, error: &str) -> CallError {
    CallError::new(CallErrorKind::Undecodable, format!("the result does not decode: {error}"))
        .with_call(CallId::from(call), job.function())
}

/// Decodes the value at `index` of a report.
pub(crate) fn decode_value<T: DeserializeOwned>(report: &Report, index: usize) -> Result<T, String> {
    report.decode(index, |bytes| value::decode(bytes)).map_err(|error| error.to_string())
}
