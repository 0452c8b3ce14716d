//! The keys of a board, relative to the job's folder.
//!
//! Numbers have twelve digits, so that keys sort in the order of the numbers and the chunks of a
//! [`PAGE`] share one prefix, which one request can list.
//!
//! Any program may write keys into the folder. A key that does not have exactly the form defined
//! here is not a key of the board and is ignored.

use std::collections::{BTreeMap, BTreeSet};

/// How many chunks one listing covers. Storages return at most 1000 keys per answer, so that a page
/// is one request.
pub const PAGE: u64 = 1000;

/// The highest epoch that is accepted without its predecessor: even with the shortest leases a chunk reaches
/// it only after weeks. A claim of a higher epoch is more likely written by another program.
pub const LAST_EPOCH: u64 = 1_000_000;

/// The longest permitted name of a worker, in bytes. The name becomes a part of keys.
const LONGEST_NAME: usize = 200;

/// The key that exists once the job is cancelled.
pub const CANCEL: &str = "cancel";

/// The prefix of all commits.
pub const COMMITS: &str = "commit/";

/// The prefix of the marks of pages in which every chunk is claimed.
pub const FULL: &str = "full/";

/// The prefix of the marks of pages in which every chunk is committed.
pub const FINISHED: &str = "finished/";

/// The key that is overwritten with each chunk that a leaving worker hands back, so that workers without a chunk need
/// to read one short object only.
pub const HANDED_BACK: &str = "handed-back";

/// What the key of a claim ends with once its worker has handed the chunk back.
const LEFT: &str = "-left";

/// The prefix of all beats.
pub const BEATS: &str = "beat/";

/// The key of the beat of a worker.
#[must_use]
pub fn beat(worker: &str) -> String {
    format!("{BEATS}{worker}")
}

/// The key of the claim of a chunk in an epoch.
#[must_use]
pub fn claim(chunk: u64, epoch: u64) -> String {
    format!("claims/{chunk:012}/{epoch:012}")
}

/// The key by which the holder of a chunk hands it back.
#[must_use]
pub fn left(chunk: u64, epoch: u64) -> String {
    format!("{}{LEFT}", claim(chunk, epoch))
}

/// The prefix of all claims of a chunk.
#[must_use]
pub fn claims(chunk: u64) -> String {
    format!("claims/{chunk:012}/")
}

/// The prefix of all claims of a page of chunks. `page` is the chunk number divided by [`PAGE`].
#[must_use]
pub fn claims_of_page(page: u64) -> String {
    format!("claims/{page:09}")
}

/// The key of the report that a holder of `epoch` stores for the calls `first..end`.
#[must_use]
pub fn outcome(chunk: u64, epoch: u64, first: u64, end: u64) -> String {
    format!("outcomes/{chunk:012}/{epoch:012}/{first:012}-{end:012}")
}

/// The prefix of all reports of a chunk, of every epoch.
#[must_use]
pub fn outcomes(chunk: u64) -> String {
    format!("outcomes/{chunk:012}/")
}

/// The key of the commit of a chunk.
#[must_use]
pub fn commit(chunk: u64) -> String {
    format!("{COMMITS}{chunk:012}")
}

/// The prefix of all commits of a page of chunks. `page` is the chunk number divided by [`PAGE`].
#[must_use]
pub fn commits_of_page(page: u64) -> String {
    format!("{COMMITS}{page:09}")
}

/// The key of the mark that every chunk of a page is claimed.
#[must_use]
pub fn full(page: u64) -> String {
    format!("{FULL}{page:09}")
}

/// The key of the mark that every chunk of a page is committed.
#[must_use]
pub fn finished(page: u64) -> String {
    format!("{FINISHED}{page:09}")
}

/// The key that contradicts the mark of a finished page: a commit was removed, or cannot be read.
#[must_use]
pub fn unfinished(page: u64) -> String {
    format!("{}-not", finished(page))
}

/// The pages in a listing of marks of full pages.
pub fn full_pages(listed: &[String]) -> impl Iterator<Item = u64> {
    listed.iter().filter_map(|key| page_number(key.strip_prefix(FULL)?))
}

/// The pages in a listing of marks of finished pages, without those that are contradicted.
pub fn finished_pages(listed: &[String]) -> impl Iterator<Item = u64> {
    let contradicted: BTreeSet<u64> = listed
        .iter()
        .filter_map(|key| page_number(key.strip_prefix(FINISHED)?.strip_suffix("-not")?))
        .collect();
    let pages = listed.iter().filter_map(|key| page_number(key.strip_prefix(FINISHED)?));
    pages.filter(move |page| !contradicted.contains(page))
}

/// Whether this text is a permitted name of a worker: at most 200 letters, digits and `-_.:@+=~`,
/// because the name is one segment of a key.
#[must_use]
pub fn is_worker(name: &str) -> bool {
    let fits = |letter: u8| letter.is_ascii_alphanumeric() || b"-_.:@+=~".contains(&letter);
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(fits) && !matches!(name, "." | "..")
}

/// The name of the worker in the key of a beat; `None` if the key is not one.
#[must_use]
pub fn worker_of_beat(key: &str) -> Option<&str> {
    key.strip_prefix(BEATS).filter(|name| is_worker(name))
}

/// The chunk and the epoch in the key of a claim; `None` if the key is not one, or its epoch is
/// above [`LAST_EPOCH`].
#[must_use]
pub fn read_claim(key: &str) -> Option<(u64, u64)> {
    read_any_claim(key).filter(|(_, epoch)| *epoch <= LAST_EPOCH)
}

/// The chunk and the epoch in the key by which a chunk was handed back; `None` if the key is not one.
#[must_use]
pub fn read_left(key: &str) -> Option<(u64, u64)> {
    read_claim(key.strip_suffix(LEFT)?)
}

/// The accepted epochs of listed claims, by chunk and in order: those up to [`LAST_EPOCH`], and a
/// higher one only if the epoch before it is accepted.
#[must_use]
pub fn believed(listed: &[String]) -> BTreeMap<u64, BTreeSet<u64>> {
    let mut claims: Vec<(u64, u64)> = listed.iter().filter_map(|key| read_any_claim(key)).collect();
    claims.sort_unstable();
    let mut believed: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for (chunk, epoch) in claims {
        let before = believed.get(&chunk).and_then(|epochs| epochs.last()).copied();
        if epoch <= LAST_EPOCH || before.is_some_and(|before| before + 1 >= epoch) {
            believed.entry(chunk).or_default().insert(epoch);
        }
    }
    believed
}

/// The chunk and the epoch in the key of a claim, also above [`LAST_EPOCH`].
fn read_any_claim(key: &str) -> Option<(u64, u64)> {
    let (chunk, epoch) = key.strip_prefix("claims/")?.split_once('/')?;
    Some((number(chunk)?, number(epoch).filter(|epoch| *epoch > 0)?))
}

/// The epoch, the first call, and the call after the last in the key of a report; `None` if the key
/// is not one.
#[must_use]
pub fn read_outcome(key: &str) -> Option<(u64, u64, u64)> {
    let mut parts = key.strip_prefix("outcomes/")?.splitn(3, '/').skip(1);
    let epoch = number(parts.next()?).filter(|epoch| *epoch > 0)?;
    let (first, end) = parts.next()?.split_once('-')?;
    let (first, end) = (number(first)?, number(end)?);
    (first < end).then_some((epoch, first, end))
}

/// The chunk in the key of a commit; `None` if the key is not one.
#[must_use]
pub fn read_commit(key: &str) -> Option<u64> {
    number(key.strip_prefix(COMMITS)?)
}

/// Reads the number of a page, exactly nine digits.
fn page_number(text: &str) -> Option<u64> {
    let plain = text.len() == 9 && text.bytes().all(|digit| digit.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Reads exactly twelve digits. Shorter numbers and signs are refused, so that one number has one key only.
fn number(text: &str) -> Option<u64> {
    let plain = text.len() == 12 && text.bytes().all(|digit| digit.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_were_written() {
        assert_eq!(read_claim(&claim(7, 12)), Some((7, 12)));
        assert_eq!(read_outcome(&outcome(7, 2, 70, 73)), Some((2, 70, 73)));
        assert_eq!(read_commit(&commit(1234)), Some(1234));
        assert_eq!(
            (read_left(&left(7, 12)), read_claim(&left(7, 12)), read_left(&claim(7, 12))),
            (Some((7, 12)), None, None)
        );
        assert_eq!(full_pages(&[full(3), full(0), "full/1".into()]).collect::<Vec<_>>(), [3, 0]);
        let marks = [finished(3), finished(4), unfinished(4), unfinished(5)];
        assert_eq!(finished_pages(&marks).collect::<Vec<_>>(), [3]);
        assert_eq!(worker_of_beat(&beat("w-1")), Some("w-1"));
        assert_eq!(read_claim("claims/x/1"), None);
        assert_eq!(read_outcome("outcomes/1/2/3"), None);
    }

    #[test]
    fn what_nobody_here_writes_is_not_read() {
        for epoch in [0, LAST_EPOCH + 1, 999_999_999_999, u64::MAX] {
            assert_eq!(read_claim(&claim(1, epoch)), None);
        }
        for epoch in [0, u64::MAX] {
            assert_eq!(
                (read_any_claim(&claim(1, epoch)), read_outcome(&outcome(1, epoch, 0, 1))),
                (None, None)
            );
        }
        let of = |epochs: &[u64]| {
            let listed: Vec<_> = epochs.iter().map(|epoch| claim(7, *epoch)).collect();
            believed(&listed).remove(&7).unwrap_or_default().into_iter().collect::<Vec<_>>()
        };
        let last = LAST_EPOCH;
        assert_eq!(of(&[last + 2, last, last + 1, 1]), [1, last, last + 1, last + 2]);
        assert_eq!(of(&[1, 3, last - 1, last + 1]), [1, 3, last - 1]);
        assert!(of(&[last + 1, 999_999_999_999, u64::MAX, 0]).is_empty());
        assert_eq!(read_claim(&claim(1, LAST_EPOCH)), Some((1, LAST_EPOCH)));
        for key in ["claims/000000000001/+00000000002", "claims/1/2", "claims/000000000001/000000000002/"] {
            assert_eq!(read_claim(key), None, "{key}");
        }
        assert_eq!(read_commit("commit/+00000000001"), None);
        assert_eq!(read_outcome(&outcome(1, 1, 5, 5)), None);
        assert_eq!(read_outcome(&outcome(1, 1, 6, 5)), None);
        assert_eq!(read_outcome(&format!("{}/x", outcome(1, 1, 5, 6))), None);
        for name in ["", ".", "..", "a/b", "a#1", "a b", "\u{0}", "\u{fffd}", &"x".repeat(201)] {
            assert_eq!(worker_of_beat(&format!("{BEATS}{name}")), None, "{name:?}");
        }
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
