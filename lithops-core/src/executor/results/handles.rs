//! [`Handles`]: the handles of a job's calls, each made when it is first asked for.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use super::ResponseFuture;
use crate::executor::{api::Mode, job::JobState};

/// A node of the tree branches by this many bits of the index.
const BITS: u32 = 6;
/// How many branches a node of the tree has.
const PLACES: usize = 1 << BITS;

/// Handles by index, in a tree of which only the paths to requested handles exist. A handle never moves, so
/// that references to it stay valid while the list of a lazy input grows.
pub(crate) struct Handles<R, M: Mode> {
    /// One root for each number of levels that an index can need.
    roots: [OnceLock<Node<R, M>>; usize::BITS.div_ceil(BITS) as usize],
}

enum Node<R, M: Mode> {
    Inner(Box<[OnceLock<Node<R, M>>; PLACES]>),
    Leaf(Box<[OnceLock<ResponseFuture<R, M>>; PLACES]>),
}

impl<R, M: Mode> Default for Handles<R, M> {
    fn default() -> Self {
        Self { roots: [const { OnceLock::new() }; usize::BITS.div_ceil(BITS) as usize] }
    }
}

impl<R, M: Mode> Handles<R, M> {
    /// The handle of the call at `index`, made if it does not exist yet.
    pub(crate) fn get(&self, job: &Arc<JobState>, index: usize) -> &ResponseFuture<R, M> {
        // The level of the root: a small index has a shallow tree of its own, which never grows.
        let mut level = (usize::BITS - index.leading_zeros()).max(1).div_ceil(BITS) - 1;
        let mut node = &self.roots[level as usize];
        loop {
            let place = index >> (level * BITS) & (PLACES - 1);
            match node.get_or_init(|| Node::at(level)) {
                Node::Inner(nodes) => node = &nodes[place],
                Node::Leaf(handles) => {
                    return handles[place].get_or_init(|| ResponseFuture::new(Arc::clone(job), index as u64));
                }
            }
            level -= 1;
        }
    }
}

impl<R, M: Mode> Node<R, M> {
    fn at(level: u32) -> Self {
        match level {
            0 => Self::Leaf(Box::new([const { OnceLock::new() }; PLACES])),
            _ => Self::Inner(Box::new([const { OnceLock::new() }; PLACES])),
        }
    }
}

/// Iterates over the handles of a list. Handles that are skipped are not made.
pub(crate) struct Iter<'a, R, M: Mode> {
    handles: &'a Handles<R, M>,
    job: &'a Arc<JobState>,
    indices: Range<usize>,
}

impl<'a, R, M: Mode> Iter<'a, R, M> {
    pub(crate) fn new(handles: &'a Handles<R, M>, job: &'a Arc<JobState>, len: usize) -> Self {
        Self { handles, job, indices: 0..len }
    }
}

impl<'a, R, M: Mode> Iterator for Iter<'a, R, M> {
    type Item = &'a ResponseFuture<R, M>;

    fn next(&mut self) -> Option<Self::Item> {
        self.nth(0)
    }

    fn nth(&mut self, count: usize) -> Option<Self::Item> {
        self.indices.nth(count).map(|index| self.handles.get(self.job, index))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.indices.size_hint()
    }

    fn count(self) -> usize {
        self.indices.len()
    }

    fn last(mut self) -> Option<Self::Item> {
        let len = self.indices.len();
        self.nth(len.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compute::Capabilities, executor::api::Async, id::JobId, plan::PlanRequest};

    #[test]
    fn each_index_has_one_handle_and_a_far_one_takes_no_more_memory_than_a_near_one() {
        let plan = PlanRequest::new(4, &Capabilities::local(1)).plan().expect("a plan");
        let (job, _commands) = JobState::new(JobId::generate(), "f", plan, Some(u64::MAX));
        let (job, handles) = (Arc::new(job), Handles::<u8, Async>::default());
        let mut indices: Vec<usize> = (0..usize::BITS).flat_map(|bit| [(1 << bit) - 1, 1 << bit]).collect();
        indices.push(usize::MAX);
        for index in &indices {
            assert_eq!(u64::from(handles.get(&job, *index).call_id()), *index as u64);
            assert!(std::ptr::eq(handles.get(&job, *index), handles.get(&job, *index)));
        }
        let mut far = Iter::new(&handles, &job, usize::MAX).skip(usize::MAX - 2);
        assert_eq!(far.next().map(|handle| u64::from(handle.call_id())), Some(u64::MAX - 2));
        assert_eq!(Iter::new(&handles, &job, usize::MAX).count(), usize::MAX);
    }
}
