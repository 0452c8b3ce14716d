//! The keys of a board, relative to the job's folder.
//!
//! Numbers have twelve digits, so that the order of a listing is the order of the numbers, and so that the chunks of a
//! [`PAGE`] share a prefix: it is listed as one.

/// How many chunks are looked at with one listing: as many keys as storages give in one answer.
pub const PAGE: u64 = 1000;

/// The key that exists when the job was cancelled.
pub const CANCEL: &str = "cancel";

/// The folder of the commits.
pub const COMMITS: &str = "commit/";

/// The folder of the beats.
pub const BEATS: &str = "beat/";

/// The key of a worker's beat.
#[must_use]
pub fn beat(worker: &str) -> String {
    format!("{BEATS}{worker}")
}

/// The key of a claim.
#[must_use]
pub fn claim(chunk: u64, epoch: u64) -> String {
    format!("claims/{chunk:012}/{epoch:012}")
}

/// The prefix of a chunk's claims.
#[must_use]
pub fn claims(chunk: u64) -> String {
    format!("claims/{chunk:012}/")
}

/// The prefix of the claims of a page of chunks.
#[must_use]
pub fn claims_of_page(page: u64) -> String {
    format!("claims/{page:09}")
}

/// The key of a report of the calls `first..end`.
#[must_use]
pub fn outcome(chunk: u64, epoch: u64, first: u64, end: u64) -> String {
    format!("outcomes/{chunk:012}/{epoch:012}/{first:012}-{end:012}")
}

/// The prefix of the reports of a chunk.
#[must_use]
pub fn outcomes(chunk: u64) -> String {
    format!("outcomes/{chunk:012}/")
}

/// The key of a chunk's commit.
#[must_use]
pub fn commit(chunk: u64) -> String {
    format!("{COMMITS}{chunk:012}")
}

/// The prefix of the commits of a page of chunks.
#[must_use]
pub fn commits_of_page(page: u64) -> String {
    format!("{COMMITS}{page:09}")
}

/// The worker of a beat's key.
#[must_use]
pub fn worker_of_beat(key: &str) -> Option<&str> {
    key.strip_prefix(BEATS)
}

/// Chunk and epoch of a claim's key.
#[must_use]
pub fn read_claim(key: &str) -> Option<(u64, u64)> {
    let (chunk, epoch) = key.strip_prefix("claims/")?.split_once('/')?;
    Some((chunk.parse().ok()?, epoch.parse().ok()?))
}

/// Epoch, first call and the call after the last of a report's key.
#[must_use]
pub fn read_outcome(key: &str) -> Option<(u64, u64, u64)> {
    let mut parts = key.strip_prefix("outcomes/")?.split('/').skip(1);
    let epoch = parts.next()?.parse().ok()?;
    let (first, end) = parts.next()?.split_once('-')?;
    Some((epoch, first.parse().ok()?, end.parse().ok()?))
}

/// The chunk of a commit's key.
#[must_use]
pub fn read_commit(key: &str) -> Option<u64> {
    key.strip_prefix(COMMITS)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_were_written() {
        assert_eq!(read_claim(&claim(7, 12)), Some((7, 12)));
        assert_eq!(read_outcome(&outcome(7, 2, 70, 73)), Some((2, 70, 73)));
        assert_eq!(read_commit(&commit(1234)), Some(1234));
        assert_eq!(worker_of_beat(&beat("w-1")), Some("w-1"));
        assert_eq!(read_claim("claims/x/1"), None);
        assert_eq!(read_outcome("outcomes/1/2/3"), None);
    }

    #[test]
    fn the_order_of_keys_is_the_order_of_numbers_and_a_page_is_a_prefix() {
        assert!(claim(9, 1) < claim(10, 1) && claim(9, 2) < claim(9, 11));
        assert!(
            claim(1999, 3).starts_with(&claims_of_page(1)) && !claim(2000, 3).starts_with(&claims_of_page(1))
        );
        assert!(
            commit(999).starts_with(&commits_of_page(0)) && !commit(1000).starts_with(&commits_of_page(0))
        );
    }
}
