//! Finds where records begin, from the middle of an object.

use std::{collections::VecDeque, ops::Range};

use memchr::memmem;

use crate::{bytes::Bytes, error::Result};

/// How many bytes are read at first around a place where a record may end.
pub(super) const AROUND: u64 = 64 << 10;
/// The most bytes that are read at a time to find the end of a long record.
const MOST: u64 = 8 << 20;

/// Reads ranges of one object.
pub(super) trait Read {
    async fn read(&self, range: Range<u64>) -> Result<Bytes>;
}

/// The first place from `at` on where a record begins; the end of the object where no record begins.
///
/// A record begins at 0 and behind every separator that a scan from the object's start would find. A
/// separator that can overlap itself, such as an empty line (`
///
/// `), is looked for further back, from a place where such a scan is certain to find one.
pub(super) async fn next_record(object: &impl Read, size: u64, separator: &[u8], at: u64) -> Result<u64> {
    find(object, size, separator, at, (AROUND, MOST)).await
}

/// Like [`next_record`], but reads `around` bytes at first and `most` bytes at a time; tests choose small
/// numbers.
async fn find(
    object: &impl Read,
    size: u64,
    separator: &[u8],
    at: u64,
    (around, most): (u64, u64),
) -> Result<u64> {
    if at == 0 || at >= size {
        return Ok(at.min(size));
    }
    let len = separator.len() as u64;
    // A separator that ends at `at` or later starts at `at - len` or later.
    let mut first = at.saturating_sub(len);
    if overlaps_itself(separator) {
        first = chain_start(object, separator, at, around).await?;
    }
    let mut scan = Scan::new(separator, first);
    let mut step = around;
    let mut read = first;
    while read < size {
        let end = (read + step).min(size);
        let bytes = object.read(read..end).await?;
        if let Some(found) = scan.ends_at(&bytes, at) {
            return Ok(found);
        }
        read = end;
        step = (step * 4).min(most);
    }
    Ok(size)
}

/// A scan from left to right for separators that do not overlap, over bytes that come piece by piece.
struct Scan<'a> {
    finder: memmem::Finder<'a>,
    len: usize,
    /// The last bytes of the last piece, which may be the beginning of a separator.
    held: VecDeque<u8>,
    /// The offset in the object of the first held byte.
    at: u64,
}

impl<'a> Scan<'a> {
    fn new(separator: &'a [u8], at: u64) -> Self {
        Self { finder: memmem::Finder::new(separator), len: separator.len(), held: VecDeque::new(), at }
    }

    /// The end of the first separator that ends at `wanted` or later; `None` when it is not in this piece.
    fn ends_at(&mut self, piece: &[u8], wanted: u64) -> Option<u64> {
        self.held.extend(piece);
        let bytes = self.held.make_contiguous();
        let mut next = 0;
        while let Some(found) = self.finder.find(&bytes[next..]) {
            next += found + self.len;
            let end = self.at + next as u64;
            if end >= wanted {
                return Some(end);
            }
        }
        // The bytes of a separator that was found are not held: they must not be found again.
        let keep = (self.len - 1).min(bytes.len() - next);
        let gone = bytes.len() - keep;
        self.held.drain(..gone);
        self.at += gone as u64;
        None
    }
}

/// Whether some first bytes of the separator are also its last bytes.
fn overlaps_itself(separator: &[u8]) -> bool {
    (1..separator.len()).any(|len| separator[..len] == separator[separator.len() - len..])
}

/// The start of the chain of overlapping separators that reaches `at`. A scan from the object's start is
/// certain to find the first separator of the chain, because no separator before it overlaps it.
async fn chain_start(object: &impl Read, separator: &[u8], at: u64, around: u64) -> Result<u64> {
    let len = separator.len() as u64;
    let mut back = around;
    loop {
        // Every separator that overlaps `at` or ends there starts from here on.
        let start = at.saturating_sub(back);
        let bytes = object.read(start..at).await?;
        // All occurrences, overlapping or not, from the last one back.
        let starts: Vec<u64> = occurrences(&bytes, separator).map(|found| start + found as u64).collect();
        let mut head = at.saturating_sub(len);
        for found in starts.iter().rev() {
            if found + len > head || *found + len > at.saturating_sub(len) {
                head = head.min(*found);
            } else {
                break;
            }
        }
        // Otherwise a separator before the bytes that were read could overlap the head of the chain.
        if head >= start + len || start == 0 {
            return Ok(head);
        }
        back = back.saturating_mul(4);
    }
}

/// The offsets of all occurrences of a separator, overlapping or not.
fn occurrences<'a>(bytes: &'a [u8], separator: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    bytes.windows(separator.len()).enumerate().filter(move |(_, part)| *part == separator).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Read for Vec<u8> {
        async fn read(&self, range: Range<u64>) -> Result<Bytes> {
            Ok(Bytes::from(self[range.start as usize..range.end as usize].to_vec()))
        }
    }

    /// The result of a scan of the whole object.
    fn expected(content: &[u8], separator: &[u8], wanted: usize) -> u64 {
        let mut at = 0;
        while at < wanted {
            match content
                .get(at..)
                .and_then(|rest| rest.windows(separator.len()).position(|part| part == separator))
            {
                Some(found) => at += found + separator.len(),
                None => return content.len() as u64,
            }
        }
        at as u64
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// For any sizes of reads: separators lie across the ends of reads, and chains begin before them.
        #[test]
        fn records_begin_where_a_scan_says(
            content in prop::collection::vec(prop::sample::select(b"aab".to_vec()), 0..48),
            separator in prop::collection::vec(prop::sample::select(b"aab".to_vec()), 1..6),
            steps in (1..9u64, 1..9u64),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            for at in 0..=content.len() {
                let found = runtime.block_on(find(&content, content.len() as u64, &separator, at as u64, steps));
                prop_assert_eq!(found.unwrap(), expected(&content, &separator, at), "from {}", at);
            }
        }
    }
}
