//! [`ChunkMap`]: what a participant knows about all chunks, and which chunk a worker claims next.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Chunks, keys, keys::PAGE};
use crate::tracker::Ranges;

/// A run of free chunks that is shorter gives two workers no room.
const SHORT: u64 = 8;

/// What a participant knows about all chunks. No participant of a board deletes a claim or a
/// commit, but other programs may: a worker that notices a deletion forgets the chunk.
#[derive(Debug)]
pub(super) struct ChunkMap {
    chunks: u64,
    /// The chunks whose commit was seen.
    committed: Ranges,
    /// The chunks that are committed or were claimed at least once.
    taken: Ranges,
}

impl ChunkMap {
    pub(super) fn new(chunks: &Chunks) -> Self {
        Self { chunks: chunks.count(), committed: Ranges::default(), taken: Ranges::default() }
    }

    /// The number of chunks that are not known to be committed.
    pub(super) fn open(&self) -> u64 {
        self.chunks - self.committed.len()
    }

    /// Whether the job has this chunk.
    pub(super) fn has(&self, chunk: u64) -> bool {
        chunk < self.chunks
    }

    pub(super) fn is_committed(&self, chunk: u64) -> bool {
        self.committed.contains(chunk)
    }

    /// Notes that a chunk was claimed.
    pub(super) fn take(&mut self, chunk: u64) {
        if chunk < self.chunks {
            self.taken.insert(chunk, chunk + 1);
        }
    }

    /// Notes a commit. Returns whether the commit was unknown before.
    pub(super) fn commit(&mut self, chunk: u64) -> bool {
        let news = chunk < self.chunks && !self.is_committed(chunk);
        if news {
            self.committed.insert(chunk, chunk + 1);
            self.taken.insert(chunk, chunk + 1);
        }
        news
    }

    /// Notes that every chunk of a page was claimed.
    pub(super) fn take_page(&mut self, page: u64) {
        let (first, end) = self.page(page);
        if first < end {
            self.taken.insert(first, end);
        }
    }

    /// Notes that every chunk of a page is committed.
    pub(super) fn commit_page(&mut self, page: u64) {
        let (first, end) = self.page(page);
        if first < end {
            self.committed.insert(first, end);
            self.taken.insert(first, end);
        }
    }

    /// The first chunk of a page, and the chunk after its last.
    fn page(&self, page: u64) -> (u64, u64) {
        let first = page.saturating_mul(PAGE).min(self.chunks);
        (first, first.saturating_add(PAGE).min(self.chunks))
    }

    /// Whether the chunks have more than one page.
    pub(super) fn has_pages(&self) -> bool {
        self.chunks > PAGE
    }

    /// Notes that the commit of a chunk does not count, so that the chunk is open again.
    pub(super) fn reopen(&mut self, chunk: u64) {
        self.committed.remove(chunk, chunk.saturating_add(1));
    }

    /// Notes the commits of a listing. Returns the chunks whose commit was unknown before.
    pub(super) fn commits(&mut self, listed: &[String]) -> Vec<u64> {
        let chunks = listed.iter().filter_map(|key| keys::read_commit(key));
        chunks.filter(|chunk| self.commit(*chunk)).collect()
    }

    /// The first chunk that was never claimed, searching from `chunk` to the end and then from 0.
    pub(super) fn free_from(&self, chunk: u64) -> Option<u64> {
        first_missing(&self.taken, chunk, self.chunks)
            .or_else(|| first_missing(&self.taken, 0, chunk.min(self.chunks)))
    }

    /// A chunk of this page that was never claimed. `choice` decides which, so that workers that list the page at the
    /// same time do not all come to one place.
    pub(super) fn free_in_page(&self, page: u64, choice: u64) -> Option<u64> {
        let (first, end) = self.page(page);
        let free = self.taken.missing(first, end);
        let total: u64 = free.iter().map(|(from, to)| to - from).sum();
        let mut at = choice % total.max(1);
        for (from, to) in free {
            if at < to - from {
                let (len, whole) = (to - from, end - first);
                // The worker at the left of a run goes on to the right, and the new one begins near the middle, so that
                // both have room. An empty page is taken anywhere, and so is a short run, in which workers that come at
                // once would meet.
                return Some(if len == whole || len < SHORT { from + at } else { from + len / 4 + at / 2 });
            }
            at -= to - from;
        }
        None
    }

    /// The first chunk that is not committed, searching from `chunk` to the end and then from 0.
    pub(super) fn open_from(&self, chunk: u64) -> Option<u64> {
        first_missing(&self.committed, chunk, self.chunks)
            .or_else(|| first_missing(&self.committed, 0, chunk.min(self.chunks)))
    }

    /// The first chunk at or after `chunk` that is not committed.
    pub(super) fn next_open(&self, chunk: u64) -> Option<u64> {
        first_missing(&self.committed, chunk, self.chunks)
    }

    /// The chunk at which a worker begins its search, after this number of collisions with other
    /// workers. The place is a hash of both, so that workers that collided move apart.
    pub(super) fn place_of(&self, worker: &str, collisions: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        (worker, collisions).hash(&mut hasher);
        hasher.finish() % self.chunks.max(1)
    }
}

/// Searches page by page, so that it does not build a list of all gaps.
fn first_missing(ranges: &Ranges, first: u64, end: u64) -> Option<u64> {
    let mut from = first;
    while from < end {
        let to = (from - from % PAGE + PAGE).min(end);
        if let Some((chunk, _)) = ranges.missing(from, to).first() {
            return Some(*chunk);
        }
        from = to;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_found_from_a_place_on_and_around() {
        let mut known = ChunkMap::new(&Chunks::new(2500, 1));
        assert_eq!(known.free_from(2499), Some(2499));
        known.take(2499);
        assert_eq!((known.free_from(2499), known.open_from(2499)), (Some(0), Some(2499)));
        assert_eq!(known.commits(&[keys::commit(0), keys::commit(2499), "commit/x".into()]), [0, 2499]);
        assert_eq!(ChunkMap::new(&Chunks::new(0, 1)).open_from(1000), None);
        assert!(!known.commit(0), "no news");
        assert!(!known.commit(9999), "no chunk of this job");
        assert_eq!((known.free_from(2499), known.next_open(2499), known.open()), (Some(1), None, 2498));
    }
}
