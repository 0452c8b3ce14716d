//! Serialization of durations and times as numbers of seconds, for fields whose names end in `_seconds`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

/// A duration as seconds.
pub(crate) fn duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// A duration that may be unknown, as seconds.
pub(crate) fn known<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs_f64()).serialize(serializer)
}

/// A time as seconds since the Unix epoch. A double has a resolution of 0.24 µs there in this century.
pub(crate) fn unix<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64())
}
