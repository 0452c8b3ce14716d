//! [`Payloads`]: a column of encoded values, sliced without a copy.

use std::mem;

use bytes::Bytes;

use super::malformed;
use crate::{
    bytes::{SHARED_FROM, decode_from},
    error::Result,
    memory::{Loan, Region},
};

/// A column of encoded values: their end offsets and their bytes.
#[derive(Debug, Clone, Default)]
pub struct Payloads {
    /// `u32 LE` per value, relative to the buffer the column was cut from.
    ends: Bytes,
    /// Where the first value starts, on the scale of `ends`.
    base: u32,
    /// The bytes of the values; empty when the values are only in the loan.
    data: Bytes,
    /// The place of the values in memory that is shared with other processes.
    loan: Option<Loan>,
}

impl Payloads {
    /// Decodes `count` values from `body`, checking every offset once.
    ///
    /// # Errors
    /// When the offsets do not match the bytes.
    pub fn read(body: &Bytes, count: u32) -> Result<Self> {
        Self::read_with(body, count, None)
    }

    /// Like [`read`](Self::read), but the values may be in `loan` instead of behind the offsets.
    pub(super) fn read_with(body: &Bytes, count: u32, loan: Option<&Loan>) -> Result<Self> {
        let table = (count as usize).checked_mul(4).filter(|table| *table <= body.len());
        let table = table.ok_or_else(|| malformed("the offsets are cut short"))?;
        let (ends, data) = (body.slice(..table), body.slice(table..));
        if loan.is_some() && !data.is_empty() {
            return Err(malformed("values both here and elsewhere"));
        }
        let column = Self { ends, base: 0, data, loan: loan.cloned() };
        let mut last = 0;
        for index in 0..column.len() {
            let end = column.end(index);
            if end < last {
                return Err(malformed("the offsets go backwards"));
            }
            last = end;
        }
        if last as usize != column.bytes() {
            return Err(malformed("the offsets do not match the bytes"));
        }
        Ok(column)
    }

    /// How many values the column has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len() / 4
    }

    /// Whether the column has no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many bytes all values have together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        if self.data.is_empty() { self.loan.as_ref().map_or(0, Loan::len) } else { self.data.len() }
    }

    /// The place of the values in shared memory; `None` when they are not there.
    #[must_use]
    pub fn loan(&self) -> Option<&Loan> {
        self.loan.as_ref()
    }

    /// How many bytes the value at `index` has.
    #[must_use]
    pub fn size(&self, index: usize) -> usize {
        (self.end(index) - self.start(index)) as usize
    }

    /// The value at `index`. The values must be in this process, not only lent.
    #[must_use]
    pub fn get(&self, index: usize) -> &[u8] {
        &self.data[(self.start(index) - self.base) as usize..(self.end(index) - self.base) as usize]
    }

    /// Decodes the value at `index`, so that long [`Bytes`](crate::bytes::Bytes) in it share the column's
    /// memory.
    pub fn decode<T>(&self, index: usize, decode: impl FnOnce(&[u8]) -> T) -> T {
        let value = self.get(index);
        if value.len() < SHARED_FROM {
            decode(value)
        } else {
            decode_from(&self.data.slice_ref(value), decode)
        }
    }

    /// The `count` values from `skip` on; nothing is copied.
    #[must_use]
    pub fn slice(&self, skip: usize, count: usize) -> Self {
        if count == 0 {
            return Self::default();
        }
        let (start, end) = (self.start(skip), self.end(skip + count - 1));
        let (from, to) = ((start - self.base) as usize, (end - self.base) as usize);
        Self {
            ends: self.ends.slice(skip * 4..(skip + count) * 4),
            base: start,
            data: if self.data.is_empty() { Bytes::new() } else { self.data.slice(from..to) },
            loan: self.loan.as_ref().map(|loan| loan.part(from, to - from)),
        }
    }

    /// Joins several columns into one, in their order.
    #[must_use]
    pub fn concat(columns: impl IntoIterator<Item = Self>) -> Self {
        let mut builder = PayloadsBuilder::default();
        for column in columns {
            for index in 0..column.len() {
                builder.data().extend_from_slice(column.get(index));
                builder.end_value();
            }
        }
        builder.finish()
    }

    /// How many of the first values fit into `limit` bytes; at least one, so that a caller always gets on.
    #[must_use]
    pub fn fitting(&self, limit: usize) -> usize {
        if self.bytes() <= limit {
            return self.len();
        }
        let limit = u64::from(self.base) + limit as u64;
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if u64::from(self.end(middle)) <= limit { low = middle + 1 } else { high = middle }
        }
        low.max(1)
    }

    /// The length of the encoded column in bytes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.ends.len() + self.bytes()
    }

    /// Appends the encoded column to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let data = self.write_ends(out);
        out.extend_from_slice(&data);
    }

    /// Appends the end offsets and returns the values: the caller appends or sends them behind the offsets.
    pub(super) fn write_ends(&self, out: &mut Vec<u8>) -> Bytes {
        if self.base == 0 {
            out.extend_from_slice(&self.ends);
        } else {
            (0..self.len())
                .for_each(|index| out.extend_from_slice(&(self.end(index) - self.base).to_le_bytes()));
        }
        self.data.clone()
    }

    fn end(&self, index: usize) -> u32 {
        let at = index * 4;
        u32::from_le_bytes([self.ends[at], self.ends[at + 1], self.ends[at + 2], self.ends[at + 3]])
    }

    fn start(&self, index: usize) -> u32 {
        if index == 0 { self.base } else { self.end(index - 1) }
    }
}

/// Collects values into a column.
#[derive(Debug, Default)]
pub struct PayloadsBuilder {
    ends: Vec<u8>,
    data: Vec<u8>,
    /// The length of the last value, when its bytes are not in `data` but are sent behind the column; else 0.
    behind: usize,
}

impl PayloadsBuilder {
    /// The bytes so far; append a value here, then call [`end_value`](Self::end_value).
    pub fn data(&mut self) -> &mut Vec<u8> {
        &mut self.data
    }

    /// Ends the value that was appended to [`data`](Self::data()).
    pub fn end_value(&mut self) {
        self.ends.extend_from_slice(&u32::try_from(self.data.len()).unwrap_or(u32::MAX).to_le_bytes());
    }

    /// Ends the last value of the column, whose `bytes` bytes are sent behind the column.
    pub(super) fn end_value_of(&mut self, bytes: usize) {
        self.behind = bytes;
        let end = u32::try_from(self.data.len() + bytes).unwrap_or(u32::MAX);
        self.ends.extend_from_slice(&end.to_le_bytes());
    }

    /// How many values were ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len() / 4
    }

    /// Whether no value was ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many bytes all values have together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.data.len() + self.behind
    }

    /// The length of the encoded column in bytes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.ends.len() + self.bytes()
    }

    /// Appends the encoded column to `out`, and starts a new column; the buffers keep their memory.
    pub fn drain_into(&mut self, out: &mut Vec<u8>) {
        self.behind = 0;
        out.append(&mut self.ends);
        out.append(&mut self.data);
    }

    /// Returns the column with its values copied to `region`, which has their length, and starts a new
    /// column; the buffer of the values keeps its memory.
    pub(crate) fn drain_to(&mut self, mut region: Region) -> Payloads {
        region.copy_from_slice(&self.data);
        self.data.clear();
        let loan = region.loan();
        Payloads { ends: mem::take(&mut self.ends).into(), base: 0, data: region.freeze(), loan }
    }

    /// Ends the column and returns it.
    #[must_use]
    pub fn finish(self) -> Payloads {
        Payloads { ends: self.ends.into(), base: 0, data: self.data.into(), loan: None }
    }
}

/// Inputs of consecutive calls, taken from the queue or from the storage.
#[derive(Debug, Default)]
pub struct InputBatch {
    /// The encoded arguments, one for each call.
    pub inputs: Payloads,
    /// The inputs that could not be encoded: their indices in `inputs`, and the encoded error that the call
    /// ends with.
    pub failed: Vec<(usize, Vec<u8>)>,
    /// Whether these are the last inputs of the job.
    pub ended: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn column(values: &[Vec<u8>]) -> Payloads {
        let mut builder = PayloadsBuilder::default();
        for value in values {
            builder.data().extend_from_slice(value);
            builder.end_value();
        }
        builder.finish()
    }

    proptest! {
        #[test]
        fn a_slice_of_a_slice_round_trips(
            values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 1..40),
            cuts in (0usize..40, 0usize..40, 0usize..40),
        ) {
            let skip = cuts.0.min(values.len() - 1);
            let count = cuts.1.min(values.len() - skip);
            let inner = cuts.2.min(count);
            let part = column(&values).slice(skip, count).slice(inner, count - inner);
            let part = Payloads::concat([part.slice(0, part.len() / 2), part.slice(part.len() / 2, part.len() - part.len() / 2)]);
            let mut bytes = Vec::new();
            part.write(&mut bytes);
            prop_assert_eq!(bytes.len(), part.encoded_len());
            let again = Payloads::read(&bytes.into(), u32::try_from(part.len()).expect("small")).expect("reads");
            let expected = &values[skip + inner..skip + count];
            prop_assert_eq!((0..again.len()).map(|index| again.get(index).to_vec()).collect::<Vec<_>>(), expected);
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..64), count in 0u32..20) {
            if let Ok(column) = Payloads::read(&bytes.into(), count) {
                prop_assert!((0..column.len()).map(|index| column.get(index).len()).sum::<usize>() == column.bytes());
            }
        }

        #[test]
        fn fitting_is_the_longest_prefix_within_the_limit(
            values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 1..40), limit in 0usize..200,
        ) {
            let column = column(&values);
            let fitting = column.fitting(limit);
            let size = |count: usize| values[..count].iter().map(Vec::len).sum::<usize>();
            prop_assert!(fitting == 1 || size(fitting) <= limit);
            prop_assert!(fitting == values.len() || size(fitting + 1) > limit);
        }
    }
}
