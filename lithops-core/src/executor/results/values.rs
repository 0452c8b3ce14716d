//! [`Values`]: the decoding half of a list of futures; and the value of one call.

use std::{marker::PhantomData, sync::Arc};

use serde::de::DeserializeOwned;

use crate::{
    error::{CallError, CallErrorKind},
    executor::{api::Mode, job::JobState},
    id::CallId,
    protocol::Report,
    value,
};

/// The decoding half of a [`FuturesList`].
#[derive(Debug)]
pub struct Values<R, M: Mode> {
    pub(crate) job: Arc<JobState>,
    pub(crate) types: PhantomData<fn() -> (R, M)>,
}

/// The outcome of a call that has one.
pub(crate) fn committed<T: DeserializeOwned>(job: &JobState, call: u64) -> Option<Result<T, CallError>> {
    let report = job.report_of(call)?;
    Some(if report.tag(0) == crate::protocol::Tag::Ok {
        decode_value(&report, 0).map_err(|error| undecodable(job, call, &error))
    } else {
        Err(job.read(|outcomes| job.call_error(outcomes, &report, 0)))
    })
}

pub(crate) fn undecodable(job: &JobState, call: u64, error: &str) -> CallError {
    CallError::new(CallErrorKind::Undecodable, format!("the result does not decode: {error}"))
        .with_call(CallId::from(call), job.function())
}

pub(crate) fn decode_value<T: DeserializeOwned>(report: &Report, index: usize) -> Result<T, String> {
    report.decode(index, |bytes| value::decode(bytes)).map_err(|error| error.to_string())
}
