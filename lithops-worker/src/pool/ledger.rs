//! The ledger: a page of memory that a worker and one sub-worker share, saying which calls have been begun.
//!
//! A sub-worker has at most two batches, and each has a cell of the page (batch number modulo 2):
//!
//! ```text
//! claim:    batch number (32 bits) | next index to begin (16) | end (16)
//! finished: batch number (32 bits) | calls that have ended (32)
//! ```
//!
//! The sub-worker claims the next call by raising `next`; the worker takes calls back by lowering `end`. Both are one
//! compare-and-swap on one word, so that a call is either begun or taken back, never both.
//!
//! User code can write anything into the page. So each side compares a word with what it knows of the batch, and takes a
//! word that contradicts this for damage.

use std::{
    ffi::c_void,
    os::fd::{AsFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use lithops_core::memory::may_be_as_long;
use rustix::{
    fs::{MemfdFlags, ftruncate, memfd_create},
    io,
    mm::{MapFlags, ProtFlags, mmap, munmap},
};

/// The most calls in a batch. A claim has 16 bits for an index, and what it costs to send a batch of this many calls is
/// next to nothing for each of them.
pub(crate) const MAX_BATCH: u32 = 1024;

/// The length of the mapping; the kernel rounds it up where pages are larger.
const PAGE: usize = 4096;

/// The content of the page. Both sides use only atomic operations on it.
#[repr(C)]
struct Page {
    claims: [AtomicU64; 2],
    finished: [AtomicU64; 2],
    /// When the running call was begun, on the monotonic clock; 0 when none runs.
    begun_at: AtomicU64,
    /// [`CUT_OFF`] when the running call has taken the sub-worker's channel from it.
    cut_off: AtomicU64,
}

/// A value that a stray pointer is unlikely to write (`off cut!` in ASCII).
const CUT_OFF: u64 = 0x6f66_6620_7475_6321;

/// One side's view of the page.
#[derive(Debug)]
pub(crate) struct Ledger {
    page: NonNull<Page>,
}

/// How far the calls of a batch are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The index of the next call to begin.
    pub(crate) next: u32,
    /// The index after the last call that may be begun.
    pub(crate) end: u32,
    /// How many calls have ended.
    pub(crate) finished: u32,
}

impl Ledger {
    /// A new page, and the descriptor to give to the sub-worker.
    pub(crate) fn create() -> io::Result<(Self, OwnedFd)> {
        if !may_be_as_long(PAGE as u64) {
            return Err(io::Errno::FBIG);
        }
        let memory = memfd_create("lithops-ledger", MemfdFlags::CLOEXEC)?;
        ftruncate(&memory, PAGE as u64)?;
        Ok((Self::map(&memory)?, memory))
    }

    /// The page behind a descriptor.
    #[expect(unsafe_code, reason = "shared memory is mapped by address")]
    pub(crate) fn map(memory: impl AsFd) -> io::Result<Self> {
        // SAFETY: the kernel chooses the address, so that no existing mapping is touched.
        let page = unsafe {
            mmap(std::ptr::null_mut(), PAGE, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, memory, 0)?
        };
        NonNull::new(page.cast()).map(|page| Self { page }).ok_or(io::Errno::NOMEM)
    }

    /// Opens a batch of `count` calls, before it is sent.
    pub(crate) fn open(&self, batch: u32, count: u32) {
        self.finished(batch).store(u64::from(batch) << 32, Ordering::Relaxed);
        self.claim_word(batch).store(pack(batch, 0, count), Ordering::Release);
    }

    /// Claims the next call of a batch of `count`: its index, or `None` when there is none left.
    pub(crate) fn claim(&self, batch: u32, count: u32, now: u64) -> Option<u32> {
        let word = self.claim_word(batch);
        let mut claim = word.load(Ordering::Acquire);
        loop {
            let (of, next, end) = unpack(claim);
            if of != batch || next >= end || end > count {
                return None;
            }
            // The time is written first: who sees that the call has begun must not see the time of an earlier call.
            self.page().begun_at.store(now, Ordering::Relaxed);
            match word.compare_exchange_weak(
                claim,
                pack(batch, next + 1, end),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(next),
                Err(changed) => claim = changed,
            }
        }
    }

    /// Notes that `count` calls of a batch have ended.
    pub(crate) fn finish(&self, batch: u32, count: u32) {
        self.finished(batch).store(u64::from(batch) << 32 | u64::from(count), Ordering::Release);
    }

    /// Notes that no call runs.
    pub(crate) fn rest(&self) {
        self.page().begun_at.store(0, Ordering::Relaxed);
    }

    /// Notes that the running call has taken the sub-worker's channel from it.
    pub(crate) fn cut_off(&self) {
        self.page().cut_off.store(CUT_OFF, Ordering::Release);
    }

    /// Whether a call has taken the sub-worker's channel from it.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.page().cut_off.load(Ordering::Acquire) == CUT_OFF
    }

    /// Takes back up to `count` calls from the end of a batch of `given`, as far as they have not been begun. Returns how
    /// many.
    pub(crate) fn take_back(&self, batch: u32, given: u32, count: u32) -> u32 {
        let word = self.claim_word(batch);
        let mut claim = word.load(Ordering::Acquire);
        loop {
            let (of, next, end) = unpack(claim);
            let taken = count.min(end.saturating_sub(next));
            if of != batch || end != given || taken == 0 {
                return 0;
            }
            match word.compare_exchange_weak(
                claim,
                pack(batch, next, end - taken),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return taken,
                Err(changed) => claim = changed,
            }
        }
    }

    /// How far the calls of a batch of `given` are; `None` when the words contradict each other or the batch.
    pub(crate) fn look(&self, batch: u32, given: u32) -> Option<Claim> {
        // In this order: the other way round, a call could begin and end between the two loads, and seem to have ended
        // before it began.
        let finished = self.finished(batch).load(Ordering::Acquire);
        let (of, next, end) = unpack(self.claim_word(batch).load(Ordering::Acquire));
        let ended = u32::try_from(finished & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        let can_be = of == batch && end == given && next <= end && ended <= next;
        (can_be && finished >> 32 == u64::from(batch)).then_some(Claim { next, end, finished: ended })
    }

    /// When the running call was begun, on the monotonic clock; `None` when none runs.
    pub(crate) fn begun_at(&self) -> Option<u64> {
        Some(self.page().begun_at.load(Ordering::Acquire)).filter(|begun| *begun != 0)
    }

    fn claim_word(&self, batch: u32) -> &AtomicU64 {
        &self.page().claims[(batch % 2) as usize]
    }

    fn finished(&self, batch: u32) -> &AtomicU64 {
        &self.page().finished[(batch % 2) as usize]
    }

    #[expect(unsafe_code, reason = "the page is reached by address")]
    fn page(&self) -> &Page {
        // SAFETY: `map` got the address of a whole page that stays mapped until `self` is dropped; it is zeroed or
        // written by the other side with atomics only, and any bits are a valid `AtomicU64`.
        unsafe { self.page.as_ref() }
    }
}

// SAFETY: the page is only reached through atomics, and its mapping belongs to the process, not to a thread.
#[expect(unsafe_code, reason = "an address is not Send by itself")]
unsafe impl Send for Ledger {}
// SAFETY: as above: all access through a shared reference is atomic.
#[expect(unsafe_code, reason = "an address is not Sync by itself")]
unsafe impl Sync for Ledger {}

impl Drop for Ledger {
    #[expect(unsafe_code, reason = "shared memory is unmapped by address")]
    fn drop(&mut self) {
        // SAFETY: `map` mapped exactly this page, and no reference to it outlives `self`.
        // When unmapping fails, the page stays until the process ends, which does no harm.
        let _ = unsafe { munmap(self.page.as_ptr().cast::<c_void>(), PAGE) };
    }
}

fn pack(batch: u32, next: u32, end: u32) -> u64 {
    debug_assert!(next <= end && end <= MAX_BATCH);
    u64::from(batch) << 32 | u64::from(next) << 16 | u64::from(end)
}

fn unpack(claim: u64) -> (u32, u32, u32) {
    let part = |shift: u32, mask: u64| u32::try_from(claim >> shift & mask).unwrap_or(0);
    (part(32, u64::from(u32::MAX)), part(16, 0xffff), part(0, 0xffff))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc, thread};

    use super::*;

    #[test]
    fn both_sides_see_one_page() {
        let (worker, memory) = Ledger::create().expect("a page");
        let sub_worker = Ledger::map(&memory).expect("the same page");
        worker.open(7, 3);
        assert_eq!(sub_worker.claim(7, 3, 11), Some(0));
        assert_eq!(sub_worker.claim(8, 3, 12), None, "another batch");
        assert_eq!(worker.begun_at(), Some(11));
        assert_eq!(worker.look(7, 3), Some(Claim { next: 1, end: 3, finished: 0 }));
        sub_worker.finish(7, 1);
        sub_worker.rest();
        assert_eq!(worker.look(7, 3), Some(Claim { next: 1, end: 3, finished: 1 }));
        assert_eq!((worker.take_back(7, 3, 9), worker.begun_at()), (2, None));
        assert_eq!(sub_worker.claim(7, 3, 13), None, "taken back");
        assert!(!worker.is_cut_off());
        sub_worker.cut_off();
        assert!(worker.is_cut_off());
    }

    #[test]
    fn what_a_stray_pointer_has_written_is_not_believed() {
        for word in [0, 1, u64::MAX, 0xaaaa_aaaa_aaaa_aaaa, 7 << 32 | 5 << 16 | 4, 7 << 32 | 3, 7 << 32 | 9] {
            let (worker, memory) = Ledger::create().expect("a page");
            let sub_worker = Ledger::map(&memory).expect("the same page");
            worker.open(7, 4);
            assert_eq!(sub_worker.claim(7, 4, 11), Some(0));
            sub_worker.claim_word(7).store(word, Ordering::Release);
            assert_eq!(worker.look(7, 4), None, "{word:x}");
            assert_eq!(worker.take_back(7, 4, 4), 0, "{word:x}");
            assert!(sub_worker.claim(7, 4, 12).is_none_or(|index| index < 4), "{word:x}");
        }
        let (worker, _memory) = Ledger::create().expect("a page");
        worker.open(7, 4);
        worker.finish(7, 1);
        assert_eq!(worker.look(7, 4), None, "none was begun");
    }

    #[test]
    fn a_call_is_begun_or_taken_back_never_both() {
        for round in 0..200 {
            let (ledger, memory) = Ledger::create().expect("a page");
            ledger.open(round, MAX_BATCH);
            let other = Arc::new(Ledger::map(&memory).expect("the same page"));
            let claimer = thread::spawn({
                let other = Arc::clone(&other);
                move || std::iter::from_fn(|| other.claim(round, MAX_BATCH, 1)).collect::<BTreeSet<_>>()
            });
            let mut taken = 0;
            while taken < MAX_BATCH / 2 {
                match ledger.take_back(round, MAX_BATCH - taken, 3) {
                    0 => break,
                    count => taken += count,
                }
            }
            let claimed = claimer.join().expect("no panic");
            assert_eq!(claimed.len(), (MAX_BATCH - taken) as usize);
            assert_eq!(claimed.last(), (MAX_BATCH - taken).checked_sub(1).as_ref());
        }
    }
}
