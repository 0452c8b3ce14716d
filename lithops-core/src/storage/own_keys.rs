//! The folders of Lithops' own objects, beside those of users.
//!
//! The bucket of jobs may also hold a user's data. An object in one of these folders is never read
//! as data, unless the user names the folder.

/// Durable jobs, and the payloads of other jobs.
pub const JOBS: &str = "lithops.jobs/";
/// The job manifests of fleets.
pub const FLEETS: &str = "lithops.fleets/";
/// Programs that workers fetch, by digest.
pub const PROGRAMS: &str = "lithops.programs/";
/// The run times of the calls of functions.
pub const HISTORY: &str = "lithops.history/";
/// Objects that are stored only to read the time of the storage's clock.
pub const CLOCK: &str = "lithops.clock/";

/// All folders of Lithops' own objects.
pub const ALL: [&str; 5] = [JOBS, FLEETS, PROGRAMS, HISTORY, CLOCK];

/// The common part of the keys of a program's objects: the key without its extension.
pub(crate) fn program_of(key: &str) -> &str {
    key.rsplit_once('.').map_or(key, |(program, _)| program)
}

/// Whether one of the folders is in a key or a prefix, at any depth.
pub(crate) fn is_own(key: &str) -> bool {
    key.split('/').any(|part| is_own_folder(part.as_bytes()))
}

/// Whether a segment of a key is the name of one of the folders.
pub(crate) fn is_own_folder(part: &[u8]) -> bool {
    ALL.iter().any(|own| own.trim_end_matches('/').as_bytes() == part)
}
