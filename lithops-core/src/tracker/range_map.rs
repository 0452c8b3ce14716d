//! Maps of ranges: each key is the first number of a range, and its value has the number after the last. The ranges of a
//! map do not overlap.

use std::collections::BTreeMap;

/// The value of a map of ranges: it contains the end of the range.
pub(super) trait Ending: Copy {
    fn end(self) -> u64;
    fn with_end(self, end: u64) -> Self;
}

impl Ending for (u64, u32) {
    fn end(self) -> u64 {
        self.0
    }

    fn with_end(self, end: u64) -> Self {
        (end, self.1)
    }
}

/// Removes the numbers `first..end` from a map of ranges, and splits ranges that reach beyond.
pub(super) fn cut_out<V: Ending>(ranges: &mut BTreeMap<u64, V>, first: u64, end: u64) {
    take_out(ranges, first, end, |_| true);
}

/// Removes the numbers `first..end` from those ranges that `concerns`, and splits ranges that reach beyond. Returns what
/// was removed.
pub(super) fn take_out<V: Ending>(
    ranges: &mut BTreeMap<u64, V>,
    first: u64,
    end: u64,
    concerns: impl Fn(&V) -> bool,
) -> Vec<(u64, u64)> {
    if ranges.is_empty() {
        return Vec::new();
    }
    let start = ranges.range(..=first).next_back().map_or(first, |(start, _)| *start);
    let touched = ranges.range(start..end).filter(|(_, value)| value.end() > first && concerns(value));
    let touched: Vec<_> = touched.map(|(start, value)| (*start, *value)).collect();
    let mut taken = Vec::new();
    for (start, value) in touched {
        ranges.remove(&start);
        if start < first {
            ranges.insert(start, value.with_end(first));
        }
        if end < value.end() {
            ranges.insert(end, value);
        }
        taken.push((start.max(first), end.min(value.end())));
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_out_leaves_both_ends_and_what_does_not_concern() {
        let whole: BTreeMap<u64, (u64, u32)> = [(0, (4, 1)), (4, (8, 2)), (10, (12, 1))].into();
        let mut ranges = whole.clone();
        assert_eq!(take_out(&mut ranges, 2, 11, |(_, attempt)| *attempt == 1), [(2, 4), (10, 11)]);
        assert_eq!(ranges, [(0, (2, 1)), (4, (8, 2)), (11, (12, 1))].into());
        let mut ranges = whole.clone();
        cut_out(&mut ranges, 5, 6);
        assert_eq!(ranges, [(0, (4, 1)), (4, (5, 2)), (6, (8, 2)), (10, (12, 1))].into());
        let mut ranges = whole.clone();
        cut_out(&mut ranges, 8, 10);
        assert_eq!(ranges, whole, "nothing is there");
    }
}
