//! [`Inputs`]: the inputs of a job, fetched as they are needed.

use std::collections::{HashSet, VecDeque};

use futures_util::future::BoxFuture;
use lithops_core::{
    error::Result,
    journal::{Journal, Segment},
    protocol::{InputBatch, Payloads},
};

/// So many bytes of inputs are kept that may be needed again.
const KEPT: usize = 64 << 20;

/// The inputs of a job: segments of the stored job, of which the last ones used are kept.
#[derive(Debug)]
pub(super) struct Inputs {
    /// Each with the call after its last.
    segments: Vec<(u64, Segment)>,
    kept: VecDeque<(usize, InputBatch)>,
    wanted: HashSet<usize>,
}

/// A segment that has come, or not.
pub(super) type Fetched = (usize, Result<InputBatch>);

/// What is known of a call's input.
pub(super) enum Input {
    /// The inputs of this call and of those that follow it in the segment, up to a call that has none.
    There(Payloads),
    /// It has none, and ends with this encoded error.
    Failed(Vec<u8>),
    /// It is to be fetched first, or is being fetched.
    Missing,
}

impl Inputs {
    pub(super) fn new(segments: &[Segment]) -> Self {
        let mut end = 0;
        let segments = segments.iter().map(|segment| {
            end += segment.calls;
            (end, *segment)
        });
        Self { segments: segments.collect(), kept: VecDeque::new(), wanted: HashSet::new() }
    }

    /// The input of a call.
    pub(super) fn of(&mut self, call: u64) -> Input {
        let number = self.segment_of(call);
        let Some(place) = self.kept.iter().position(|(kept, _)| *kept == number) else {
            return Input::Missing;
        };
        // The last one used is the last to go.
        if let Some(used) = self.kept.remove(place) {
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

    /// Fetches the segment of a call, unless that is under way.
    pub(super) fn fetch(&mut self, call: u64, journal: &Journal) -> Option<BoxFuture<'static, Fetched>> {
        let number = self.segment_of(call);
        if !self.wanted.insert(number) {
            return None;
        }
        let (journal, segment) = (journal.clone(), self.segments[number].1);
        Some(Box::pin(async move { (number, journal.inputs(number as u64, &segment).await) }))
    }

    /// A segment has come.
    pub(super) fn keep(&mut self, number: usize, taken: InputBatch) {
        self.wanted.remove(&number);
        self.kept.push_front((number, taken));
        while self.kept.len() > 1
            && self.kept.iter().map(|(_, taken)| taken.inputs.bytes()).sum::<usize>() > KEPT
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
