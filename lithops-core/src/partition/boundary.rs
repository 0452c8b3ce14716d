//! Where records begin, found from the middle of an object.

use std::{collections::VecDeque, ops::Range};

use memchr::memmem;

use crate::{bytes::Bytes, error::Result};

/// How much is read at first around a place where a record may end.
pub(super) const AROUND: u64 = 64 << 10;
/// How much is read at most at a time to find the end of a long record.
const MOST: u64 = 8 << 20;

/// Reads bytes of one object.
pub(super) trait Read {
    async fn read(&self, range: Range<u64>) -> Result<Bytes>;
}

/// The first place from `at` on where a record begins; the end of the object where none does.
///
/// A record begins at 0 and behind every separator that a scan from the object's start would find. A
/// separator that can overlap itself, such as an empty line (`\n\n`), is looked for further back, to where
/// such a scan cannot but find one.
pub(super) async fn next_record(object: &impl Read, size: u64, separator: &[u8], at: u64) -> Result<u64> {
    find(object, size, separator, at, (AROUND, MOST)).await
}

/// The same, reading so much at first and so much at most.
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
    // A separator that ends at `at` or later starts here or later.
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

/// A scan from left to right for separators that do not overlap, over bytes that come in pieces.
struct Scan<'a> {
    finder: memmem::Finder<'a>,
    len: usize,
    /// What may be the beginning of a separator at the end of the last piece.
    held: VecDeque<u8>,
    /// Where the held bytes begin.
    at: u64,
}

impl<'a> Scan<'a> {
    fn new(separator: &'a [u8], at: u64) -> Self {
        Self { finder: memmem::Finder::new(separator), len: separator.len(), held: VecDeque::new(), at }
    }

    /// The end of the first separator that ends at `wanted` or later.
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
        // What was matched is not matched again.
        let keep = (self.len - 1).min(bytes.len() - next);
        let gone = bytes.len() - keep;
        self.held.drain(..gone);
        self.at += gone as u64;
        None
    }
}

/// Whether a beginning of the separator is also an end of it.
fn overlaps_itself(separator: &[u8]) -> bool {
    (1..separator.len()).any(|len| separator[..len] == separator[separator.len() - len..])
}

/// The start of the separators that overlap one another and reach `at`: what a scan from the object's start
/// cannot but find, because nothing before it overlaps it.
async fn chain_start(object: &impl Read, separator: &[u8], at: u64, around: u64) -> Result<u64> {
    let len = separator.len() as u64;
    let mut back = around;
    loop {
        // Every separator that overlaps `at` or ends at it starts from here on.
        let start = at.saturating_sub(back);
        let bytes = object.read(start..at).await?;
        // Occurrences that overlap or not, from the last one back.
        let starts: Vec<u64> = occurrences(&bytes, separator).map(|found| start + found as u64).collect();
        let mut head = at.saturating_sub(len);
        for found in starts.iter().rev() {
            if found + len > head || *found + len > at.saturating_sub(len) {
                head = head.min(*found);
            } else {
                break;
            }
        }
        // Another could overlap the head, and lie before what was read.
        if head >= start + len || start == 0 {
            return Ok(head);
        }
        back = back.saturating_mul(4);
    }
}

/// Where a separator stands, overlapping or not.
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

    /// A scan of the whole.
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

        /// Whatever is read at once: separators lie across the ends of what is read, and chains before its
        /// start.
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
