//! The folders in which Lithops keeps its own objects, beside those of users.
//!
//! The bucket of jobs may also be that of a user's data: an object in one of these folders is never read as data, unless
//! the user names the folder.

/// Durable jobs, and payloads of others.
pub const JOBS: &str = "lithops.jobs/";
/// What fleets are told of their jobs.
pub const FLEETS: &str = "lithops.fleets/";
/// Programs that workers fetch, by digest.
pub const PROGRAMS: &str = "lithops.programs/";
/// How long the calls of functions took.
pub const HISTORY: &str = "lithops.history/";
/// Objects that are put to learn what time it is for the storage.
pub const CLOCK: &str = "lithops.clock/";

/// All of these folders.
pub const ALL: [&str; 5] = [JOBS, FLEETS, PROGRAMS, HISTORY, CLOCK];

/// What the keys of all that is stored of a program start with, but for what is behind the last dot.
pub(crate) fn program_of(key: &str) -> &str {
    key.rsplit_once('.').map_or(key, |(program, _)| program)
}

/// Whether a key, or a prefix of keys, is in one of the folders, wherever that lies.
pub(crate) fn is_own(key: &str) -> bool {
    key.split('/').any(|part| is_own_folder(part.as_bytes()))
}

/// Whether a part of a key, between two slashes, is the name of one of the folders.
pub(crate) fn is_own_folder(part: &[u8]) -> bool {
    ALL.iter().any(|own| own.trim_end_matches('/').as_bytes() == part)
}
