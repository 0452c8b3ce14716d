//! [`StoredInputs`]: the inputs of a stored job, fetched segment by segment as calls need them.

use std::collections::{HashSet, VecDeque};

use futures_util::future::BoxFuture;
use lithops_core::{
    error::Result,
    journal::{Journal, Segment},
    protocol::{InputBatch, Payloads},
};

/// The most bytes of fetched inputs that are kept, beside the segment in use. Calls that are tried again, and chunks
/// that share a segment, then need no second request; more would compete with the calls for memory.
const KEPT_BYTES: usize = 64 << 20;

/// The segments of a stored job's inputs, of which those used last are kept in memory.
#[derive(Debug)]
pub(super) struct StoredInputs {
    /// Each segment with the number of the call after its last one.
    segments: Vec<(u64, Segment)>,
    /// Fetched segments by number, the one used last in front.
    kept: VecDeque<(usize, InputBatch)>,
    /// The segments that are being fetched.
    fetching: HashSet<usize>,
}

/// The number of a segment, and its inputs or why they could not be fetched.
pub(super) type Fetched = (usize, Result<InputBatch>);

/// What is known of a call's input.
pub(super) enum Input {
    /// The inputs of this call and of those that follow it in the segment, up to a call that has none.
    There(Payloads),
    /// The call has no input, and ends with this encoded error.
    Failed(Vec<u8>),
    /// The segment is not in memory: it has to be fetched first.
    Missing,
}

impl StoredInputs {
    pub(super) fn new(segments: &[Segment]) -> Self {
        let mut end = 0;
        let segments = segments.iter().map(|segment| {
            end += segment.calls;
            (end, *segment)
        });
        Self { segments: segments.collect(), kept: VecDeque::new(), fetching: HashSet::new() }
    }

    /// The input of a call.
    pub(super) fn of(&mut self, call: u64) -> Input {
        let number = self.segment_of(call);
        let Some(at) = self.kept.iter().position(|(kept, _)| *kept == number) else {
            return Input::Missing;
        };
        // To the front: segments are dropped from the back.
        if let Some(used) = self.kept.remove(at) {
            self.kept.push_front(used);
        }
        let taken = &self.kept[0].1;
        let index = usize::try_from(call - self.first_of(number)).unwrap_or(usize::MAX);
        let failed = taken.failed.iter().find(|(at, _)| *at == index);
        if let Some((_, error)) = failed {
            return Input::Failed(error.clone());
        }
        let next = taken.failed.iter().map(|(at, _)| *at).filter(|at| *at > index).min();
        let end = next.unwrap_or(taken.inputs.len());
        Input::There(taken.inputs.slice(index, end - index))
    }

    /// The request for the segment of a call; `None` when it is under way.
    pub(super) fn fetch(&mut self, call: u64, journal: &Journal) -> Option<BoxFuture<'static, Fetched>> {
        let number = self.segment_of(call);
        if !self.fetching.insert(number) {
            return None;
        }
        let (journal, segment) = (journal.clone(), self.segments[number].1);
        Some(Box::pin(async move { (number, journal.inputs(number as u64, &segment).await) }))
    }

    /// Takes in a segment, and drops those used longest ago that are too much.
    pub(super) fn keep(&mut self, number: usize, taken: InputBatch) {
        self.fetching.remove(&number);
        self.kept.push_front((number, taken));
        while self.kept.len() > 1
            && self.kept.iter().map(|(_, taken)| taken.inputs.bytes()).sum::<usize>() > KEPT_BYTES
        {
            self.kept.pop_back();
        }
    }

    fn segment_of(&self, call: u64) -> usize {
        self.segments.partition_point(|(end, _)| *end <= call)
    }

    fn first_of(&self, number: usize) -> u64 {
        number.checked_sub(1).map_or(0, |before| self.segments[before].0)
    }
}
