//! [`CallSource`]: what of a job's inputs a call was given, as its user would name it; and [`CallSources`], which
//! knows that of all calls of a job.

use std::{fmt, sync::Arc};

use serde::Serialize;

use crate::partition::ResolvedObjects;

/// What of a job's inputs a call was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallSource {
    /// The input with this number, from 0.
    Input(u64),
    /// A part of an object, a file or a URL.
    Object {
        /// `bucket/key`, a path or a URL.
        name: String,
        /// The number of the part within the object, from 0.
        part: u64,
        /// How many parts the object was cut into.
        parts: u64,
    },
}

impl fmt::Display for CallSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(index) => write!(f, "input {index}"),
            Self::Object { name, parts: 1, .. } => write!(f, "`{name}`"),
            Self::Object { name, part, parts } => write!(f, "part {} of {parts} of `{name}`", part + 1),
        }
    }
}

/// The sources of all calls of a job.
#[derive(Debug, Clone, Default)]
pub(crate) enum CallSources {
    /// Call `i` has the input `i`.
    #[default]
    Inputs,
    /// Call `i` has the part `i` of these objects.
    Objects(Arc<ResolvedObjects>),
    /// Call `i` repeats the call `calls[i]` of a job with these sources.
    Repeated {
        /// The sources of the repeated job.
        of: Arc<CallSources>,
        /// The repeated calls.
        calls: Vec<u64>,
    },
}

impl CallSources {
    /// The source of one call.
    pub(crate) fn of(&self, call: u64) -> CallSource {
        match self {
            Self::Inputs => CallSource::Input(call),
            Self::Objects(objects) => {
                objects.name_of(call).map_or(CallSource::Input(call), |(name, part, parts)| {
                    CallSource::Object { name, part, parts }
                })
            }
            Self::Repeated { of, calls } => {
                let repeated = usize::try_from(call).ok().and_then(|call| calls.get(call));
                repeated.map_or(CallSource::Input(call), |call| of.of(*call))
            }
        }
    }

    /// Whether a call's source says more than the call's own number.
    pub(crate) fn says_more(&self) -> bool {
        !matches!(self, Self::Inputs)
    }
}
