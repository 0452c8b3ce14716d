//! [`Ranges`]: a set of call numbers, stored as ranges.

use std::collections::BTreeMap;

/// A set of numbers, stored as disjoint ranges. Adjacent ranges are merged, so that a contiguous set is one
/// range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges {
    /// By the first number of a range: the number after its last.
    ends: BTreeMap<u64, u64>,
    len: u64,
}

impl Ranges {
    /// How many numbers the set holds.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the set holds a number.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        self.ends.range(..=number).next_back().is_some_and(|(_, end)| number < *end)
    }

    /// How many numbers from `first` on the set holds without a gap.
    #[must_use]
    pub fn run_from(&self, first: u64) -> u64 {
        let range = self.ends.range(..=first).next_back();
        range.map_or(0, |(_, end)| end.saturating_sub(first))
    }

    /// The ranges `(first, end)`, in order, without `end`.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ends.iter().map(|(first, end)| (*first, *end))
    }

    /// The parts of `first..end` that the set does not hold, in order.
    #[must_use]
    pub fn missing(&self, first: u64, end: u64) -> Vec<(u64, u64)> {
        let mut missing = Vec::new();
        let mut from = self.ends.range(..=first).next_back().map_or(first, |(_, end)| first.max(*end));
        for (next, next_end) in self.ends.range(first..end) {
            if from < *next {
                missing.push((from, *next));
            }
            from = from.max(*next_end);
        }
        if from < end {
            missing.push((from, end));
        }
        missing
    }

    /// Removes `first..end`. Returns how many of these numbers the set held.
    pub fn remove(&mut self, first: u64, end: u64) -> u64 {
        if first >= end {
            return 0;
        }
        let before = self.len;
        let start = self.ends.range(..=first).next_back().map_or(first, |(start, _)| *start);
        let touched: Vec<_> = self.ends.range(start..end).map(|(start, stop)| (*start, *stop)).collect();
        for (start, stop) in touched.into_iter().filter(|(_, stop)| *stop > first) {
            self.ends.remove(&start);
            self.len -= stop.min(end) - start.max(first);
            if start < first {
                self.ends.insert(start, first);
            }
            if end < stop {
                self.ends.insert(end, stop);
            }
        }
        before - self.len
    }

    /// Adds `first..end`, some of which the set may hold already.
    pub fn insert(&mut self, first: u64, end: u64) {
        let (mut low, mut high) = (first, end);
        if let Some((before, before_end)) = self.ends.range(..=first).next_back()
            && *before_end >= first
        {
            low = *before;
        }
        while let Some((next, next_end)) = self.ends.range(low..=high).next().map(|(next, end)| (*next, *end))
        {
            self.ends.remove(&next);
            self.len -= next_end - next;
            high = high.max(next_end);
        }
        if low < high {
            self.ends.insert(low, high);
            self.len += high - low;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(
            operations in prop::collection::vec((0u64..60, 0u64..12, any::<bool>()), 0..40), asked in (0u64..60, 0u64..20),
        ) {
            let (mut ranges, mut model) = (Ranges::default(), BTreeSet::new());
            for (first, count, remove) in operations {
                if remove {
                    let removed = (first..first + count).filter(|number| model.remove(number)).count() as u64;
                    prop_assert_eq!(ranges.remove(first, first + count), removed);
                } else {
                    ranges.insert(first, first + count);
                    model.extend(first..first + count);
                }
            }
            prop_assert_eq!(ranges.len(), model.len() as u64);
            let all: Vec<_> = ranges.iter().flat_map(|(first, end)| first..end).collect();
            prop_assert_eq!(all, model.iter().copied().collect::<Vec<_>>());
            let (first, end) = (asked.0, asked.0 + asked.1);
            let missing: Vec<_> = ranges.missing(first, end).into_iter().flat_map(|(first, end)| first..end).collect();
            prop_assert_eq!(missing, (first..end).filter(|number| !model.contains(number)).collect::<Vec<_>>());
            let run = (first..).take_while(|number| model.contains(number)).count() as u64;
            prop_assert_eq!(ranges.run_from(first), run);
            prop_assert!(ranges.iter().zip(ranges.iter().skip(1)).all(|(one, next)| one.1 < next.0), "merged");
        }
    }
}
