//! Memory for long frames and columns, in regions, and how processes of one machine share it.
//!
//! The first access to an ordinary page costs several times as much as the copy into it. Regions
//! are cut from blocks of huge pages, where this costs a fraction. A few blocks are kept for reuse,
//! which costs nothing. A region keeps its block alive.
//!
//! Regions of shared blocks can be lent to other processes, which may pass the [`Loan`] on. A block is used
//! again when no process holds a loan of it any more: every loan holds the same end of a pipe, and the
//! system reports when the last of these ends is closed, also by the death of a process.

use std::{
    ops::{Deref, DerefMut},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    ptr::{self, NonNull},
    slice,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, fstat, ftruncate, memfd_create},
    io,
    mm::{Advice, MapFlags, MremapFlags, ProtFlags, madvise, mmap, mmap_anonymous, mremap, munmap},
    pipe::{PipeFlags, pipe_with},
    process::{Resource, getrlimit},
};

/// The fewest bytes that get a region, 256 KiB. Shorter data stay in ordinary memory.
pub const LONG: usize = 256 << 10;

/// The size of a block in bytes. A longer region gets a block of its own.
const BLOCK: usize = 8 << 20;
/// The size of a huge page in bytes. Blocks are whole huge pages.
const HUGE_PAGE: usize = 2 << 20;
/// The number of unused blocks of this size that are kept without a time limit.
const KEPT: usize = 4;
/// The number of unused blocks that are kept for [`MOMENT`]. The next job may be like this one, and
/// in a virtual machine new memory of the host costs twenty times as much as reused memory.
const KEPT_FOR_NOW: usize = 64;
/// How long unused blocks above [`KEPT`] are kept.
const MOMENT: Duration = Duration::from_secs(1);
/// The most shared blocks of one process.
const SHARED: usize = 4;
/// The alignment of regions in bytes. The kernel copies to other addresses much more slowly.
pub(crate) const ALIGNED: usize = 64;

/// The unused blocks of this process that are not shared.
static FREE: Mutex<Free> = Mutex::new(Free { blocks: Vec::new(), is_swept: false });
/// The shared blocks of this process.
static LENT: Mutex<Lent> = Mutex::new(Lent { blocks: Vec::new(), count: 0 });

/// A range of bytes of a block, which no other region overlaps.
#[derive(Debug)]
pub(crate) struct Region {
    cut: Arc<Cut>,
    start: usize,
    len: usize,
}

/// The bytes of a region, for another process to read. They are not overwritten as long as a loan
/// of them exists.
#[derive(Debug, Clone)]
pub struct Loan {
    file: Arc<OwnedFd>,
    held: Arc<OwnedFd>,
    start: u64,
    len: usize,
}

/// Cuts regions from blocks, one block after the other.
#[derive(Debug, Default)]
pub struct Regions {
    shared: bool,
    cut: Option<Arc<Cut>>,
    used: usize,
}

/// A block from which regions are cut. The block is kept for reuse when its last region is dropped.
#[derive(Debug)]
struct Cut {
    block: Option<Block>,
    /// For a shared block the end of a pipe that goes with each loan, and the other end of that pipe.
    held: Option<(Arc<OwnedFd>, OwnedFd)>,
}

/// A mapping of memory, which is unmapped when it is dropped.
#[derive(Debug)]
struct Block {
    memory: NonNull<u8>,
    len: usize,
    /// For a shared block the file through which other processes read it.
    file: Option<Arc<OwnedFd>>,
}

/// Unused blocks, each with the time at which it became unused.
struct Free {
    blocks: Vec<(Block, Instant)>,
    /// Whether a thread runs that returns surplus blocks to the system.
    is_swept: bool,
}

/// Shared blocks from which no region is cut any more, and of which other processes may still hold loans.
struct Lent {
    blocks: Vec<(Block, OwnedFd)>,
    /// The number of shared blocks of this process, including those that are not in the list.
    count: usize,
}

impl Regions {
    /// Regions that other processes can read.
    #[must_use]
    pub fn shared() -> Self {
        Self { shared: true, ..Self::default() }
    }

    /// The next region. Its content is unspecified.
    ///
    /// # Errors
    /// When the system has no memory, or other processes hold loans of all shared blocks. A shared
    /// region cannot be longer than a block.
    pub(crate) fn cut(&mut self, len: usize) -> io::Result<Region> {
        if len > BLOCK {
            return match self.shared {
                true => Err(io::Errno::NOBUFS),
                false => Ok(Region { cut: Arc::new(Cut::of(Block::new(len)?)), start: 0, len }),
            };
        }
        if self.cut.as_mut().is_some_and(|cut| cut.is_unused()) {
            self.used = 0;
        }
        let cut = match &mut self.cut {
            Some(cut) if self.used + len <= BLOCK => cut,
            cut => {
                self.used = 0;
                // The block may be free for reuse once this reference is dropped.
                *cut = None;
                cut.insert(Arc::new(if self.shared {
                    Cut::shared()?
                } else {
                    Cut::of(Block::kept_or_new()?)
                }))
            }
        };
        let start = self.used;
        self.used = (start + len).next_multiple_of(ALIGNED);
        Ok(Region { cut: Arc::clone(cut), start, len })
    }

    /// The beginning of a region of `len` announced bytes: at most one block, to be extended with
    /// [`grow`](Region::grow). Memory for all announced bytes is not reserved, because the sender
    /// may never send them.
    ///
    /// # Errors
    /// When the system has no memory.
    pub(crate) fn announced(&mut self, len: usize) -> io::Result<Region> {
        if len <= BLOCK {
            return self.cut(len);
        }
        Ok(Region { cut: Arc::new(Cut::of(Block::new(BLOCK)?)), start: 0, len: BLOCK })
    }

    /// A region that starts with `head`, followed by the bytes of a loan.
    pub(crate) fn fetch(&mut self, head: &[u8], loan: &Loan) -> io::Result<Bytes> {
        // The padding makes the copied bytes equally aligned on both sides, because the kernel
        // copies such bytes faster.
        let skew = (loan.start as usize).wrapping_sub(head.len()) % ALIGNED;
        let body = skew + head.len();
        let len = body.checked_add(loan.len).ok_or(io::Errno::OVERFLOW)?;
        let mut region = self.cut(len)?;
        region[skew..body].copy_from_slice(head);
        let mut filled = 0;
        while filled < loan.len {
            let from = loan.start + filled as u64;
            match rustix::io::pread(&*loan.file, &mut region[body + filled..], from) {
                Ok(0) => return Err(io::Errno::IO),
                Ok(count) => filled += count,
                Err(io::Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(region.freeze().slice(skew..))
    }

    /// Copies bytes into a region and lends it; `None` when other processes still hold loans of all
    /// shared blocks.
    #[must_use]
    pub fn lend(&mut self, bytes: &[u8]) -> Option<Loan> {
        let mut region = self.cut(bytes.len()).ok()?;
        region.copy_from_slice(bytes);
        region.loan()
    }
}

impl Region {
    /// Extends a region that has a block of its own to twice its length, and at most to `most`
    /// bytes. The content is kept: its pages get another address and are not copied.
    ///
    /// # Errors
    /// When the system has no memory.
    pub(crate) fn grow(&mut self, most: usize) -> io::Result<()> {
        let len = self.len.saturating_mul(2).min(most);
        let block = Arc::get_mut(&mut self.cut).and_then(|cut| cut.block.as_mut());
        block.expect("no other region is cut from its block").grow(len)?;
        self.len = len;
        Ok(())
    }

    /// The region as shared, immutable bytes.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }

    /// A loan of the region; `None` when its block is not shared.
    pub(crate) fn loan(&self) -> Option<Loan> {
        let file = Arc::clone(self.cut.block.as_ref()?.file.as_ref()?);
        let held = Arc::clone(&self.cut.held.as_ref()?.0);
        Some(Loan { file, held, start: self.start as u64, len: self.len })
    }
}

impl Loan {
    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the loan has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the file is long enough for the loan. A loan from another process may be wrong.
    pub(crate) fn is_within(&self) -> bool {
        let end = self.start.checked_add(self.len as u64);
        let there = fstat(&*self.file).ok().and_then(|file| u64::try_from(file.st_size).ok());
        end.zip(there).is_some_and(|(end, there)| end <= there)
    }

    /// A part of the loan.
    #[must_use]
    pub(crate) fn part(&self, skip: usize, len: usize) -> Self {
        assert!(skip.checked_add(len).is_some_and(|end| end <= self.len), "a part is inside of the whole");
        Self { start: self.start + skip as u64, len, ..self.clone() }
    }

    /// The file descriptors and the numbers (start and length) to send to another process.
    pub(crate) fn parts(&self) -> ([BorrowedFd<'_>; 2], [u64; 2]) {
        ([self.file.as_fd(), self.held.as_fd()], [self.start, self.len as u64])
    }

    /// The loan from what another process has sent.
    pub(crate) fn of([file, held]: [OwnedFd; 2], start: u64, len: usize) -> Self {
        Self { file: Arc::new(file), held: Arc::new(held), start, len }
    }
}

impl Deref for Region {
    type Target = [u8];

    #[expect(unsafe_code, reason = "the memory is given by the system, not by an allocator")]
    fn deref(&self) -> &[u8] {
        // SAFETY: the block outlives this borrow, all of it is readable, and no other region has
        // these bytes.
        unsafe { slice::from_raw_parts(self.cut.at(self.start), self.len) }
    }
}

impl DerefMut for Region {
    #[expect(unsafe_code, reason = "as above")]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and this region is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.cut.at(self.start), self.len) }
    }
}

impl AsRef<[u8]> for Region {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Cut {
    fn of(block: Block) -> Self {
        Self { block: Some(block), held: None }
    }

    /// A shared block of which no loan exists.
    fn shared() -> io::Result<Self> {
        // The pipe comes first, because its failure must not lose a block.
        let (held, watched) = pipe_with(PipeFlags::CLOEXEC)?;
        let block = Block::returned_or_new()?;
        Ok(Self { block: Some(block), held: Some((Arc::new(held), watched)) })
    }

    /// Whether no region of the block exists any more. For shared blocks this is always `false`,
    /// because loans are only checked once the block is given up.
    fn is_unused(self: &mut Arc<Self>) -> bool {
        Arc::get_mut(self).is_some_and(|cut| cut.held.is_none())
    }

    /// The address of a byte of the block.
    #[expect(unsafe_code, reason = "regions are found by their place")]
    fn at(&self, start: usize) -> *mut u8 {
        let block = self.block.as_ref().expect("only taken when it is dropped");
        assert!(start <= block.len, "regions are inside of their block");
        // SAFETY: the address is inside of the block, or directly after it.
        unsafe { block.memory.as_ptr().add(start) }
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        let Some(block) = self.block.take().filter(|block| block.len == BLOCK) else { return };
        if let Some((_, watched)) = self.held.take() {
            LENT.lock().unwrap_or_else(PoisonError::into_inner).blocks.push((block, watched));
            return;
        }
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        if free.blocks.len() >= KEPT_FOR_NOW {
            return;
        }
        free.blocks.push((block, Instant::now()));
        if free.blocks.len() > KEPT && !free.is_swept {
            let sweeper =
                thread::Builder::new().name("lithops-memory".into()).stack_size(64 << 10).spawn(sweep);
            free.is_swept = sweeper.is_ok();
            if sweeper.is_err() {
                free.blocks.truncate(KEPT);
            }
        }
    }
}

impl Block {
    /// An unused block, or a new one.
    fn kept_or_new() -> io::Result<Self> {
        let kept = FREE.lock().unwrap_or_else(PoisonError::into_inner).blocks.pop();
        kept.map_or_else(|| Self::new(BLOCK), |(block, _)| Ok(block))
    }

    /// A shared block whose loans are all gone, or a new one.
    fn returned_or_new() -> io::Result<Self> {
        let mut lent = LENT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = lent.blocks.iter().position(|(_, watched)| nobody_holds(watched)) {
            return Ok(lent.blocks.remove(place).0);
        }
        if lent.count == SHARED {
            return Err(io::Errno::NOBUFS);
        }
        let block = Self::new_shared()?;
        lent.count += 1;
        Ok(block)
    }

    /// New memory. A page takes physical memory only when it is touched.
    #[expect(unsafe_code, reason = "memory is mapped by address")]
    fn new(len: usize) -> io::Result<Self> {
        // A whole number of huge pages, so that the kernel can back all of the block with them.
        let len = len.checked_next_multiple_of(HUGE_PAGE).ok_or(io::Errno::NOMEM)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the address, so that no existing mapping is touched.
        let memory = unsafe { mmap_anonymous(ptr::null_mut(), len, access, MapFlags::PRIVATE)? };
        let block = Self { memory: NonNull::new(memory.cast()).ok_or(io::Errno::NOMEM)?, len, file: None };
        // SAFETY: the range is this block, and the advice changes nothing that a program can see.
        let _slower_without = unsafe { madvise(memory, len, Advice::LinuxHugepage) };
        Ok(block)
    }

    /// Extends a block that is not shared.
    #[expect(unsafe_code, reason = "memory is mapped by address")]
    fn grow(&mut self, len: usize) -> io::Result<()> {
        let len = len.checked_next_multiple_of(HUGE_PAGE).ok_or(io::Errno::NOMEM)?;
        if len > self.len {
            // SAFETY: the range was mapped with this length and is borrowed exclusively, so that no
            // reference to the old address exists.
            let memory = unsafe { mremap(self.memory.as_ptr().cast(), self.len, len, MremapFlags::MAYMOVE)? };
            self.memory = NonNull::new(memory.cast()).ok_or(io::Errno::NOMEM)?;
            self.len = len;
        }
        Ok(())
    }

    /// A new block that other processes can read through its file.
    #[expect(unsafe_code, reason = "memory is mapped by address")]
    fn new_shared() -> io::Result<Self> {
        if !may_be_as_long(BLOCK as u64) {
            return Err(io::Errno::FBIG);
        }
        let file = memfd_create("lithops-values", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, BLOCK as u64)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: as above; other processes only read the file.
        let memory = unsafe { mmap(ptr::null_mut(), BLOCK, access, MapFlags::SHARED, &file, 0)? };
        let memory = NonNull::new(memory.cast()).ok_or(io::Errno::NOMEM)?;
        let mut block = Self { memory, len: BLOCK, file: None };
        // With these seals only this mapping can change the content, and no process can change the length.
        let seals = SealFlags::FUTURE_WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&file, seals)?;
        block.file = Some(Arc::new(file));
        Ok(block)
    }
}

/// Whether a file, also one in memory, may have this many bytes. The kernel kills a process that
/// exceeds the limit.
#[must_use]
pub fn may_be_as_long(len: u64) -> bool {
    getrlimit(Resource::Fsize).current.is_none_or(|limit| len <= limit)
}

/// Returns blocks to the system that were unused for [`MOMENT`]. Ends when at most [`KEPT`] blocks are left.
fn sweep() {
    loop {
        thread::sleep(MOMENT);
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        // Blocks are in the order in which they became unused.
        let old = free.blocks.iter().take_while(|(_, since)| since.elapsed() >= MOMENT).count();
        let too_many = free.blocks.len().saturating_sub(KEPT).min(old);
        let given_back: Vec<_> = free.blocks.drain(..too_many).collect();
        free.is_swept = free.blocks.len() > KEPT;
        let ends = !free.is_swept;
        drop(free);
        drop(given_back);
        if ends {
            return;
        }
    }
}

/// Whether the other end of a pipe is closed in all processes.
fn nobody_holds(watched: &OwnedFd) -> bool {
    let mut watched = [PollFd::new(watched, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut watched, Some(&at_once)).is_ok() && watched[0].revents().contains(PollFlags::ERR)
}

#[expect(unsafe_code, reason = "whoever has a region may send it and share it, as a vector")]
// SAFETY: a block is memory that nothing else refers to.
unsafe impl Send for Block {}

#[expect(unsafe_code, reason = "as above")]
// SAFETY: a block is changed only through regions, which never overlap.
unsafe impl Sync for Block {}

impl Drop for Block {
    #[expect(unsafe_code, reason = "memory is unmapped by address")]
    fn drop(&mut self) {
        // SAFETY: the range was mapped with this length, and no region of it exists.
        let _nothing_to_do = unsafe { munmap(self.memory.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_do_not_overlap_and_are_used_again_once_they_are_gone() {
        let mut regions = Regions::default();
        let mut cut: Vec<_> =
            (1..=9).map(|number| (number, regions.cut(LONG * 3).expect("memory"))).collect();
        for (number, region) in &mut cut {
            region.fill(*number);
        }
        let frozen: Vec<_> = cut.into_iter().map(|(number, region)| (number, region.freeze())).collect();
        for (number, bytes) in &frozen {
            assert!(bytes.len() == LONG * 3 && bytes.iter().all(|byte| byte == number), "region {number}");
            assert_eq!(bytes.as_ptr() as usize % ALIGNED, 0);
        }
        drop(frozen);
        let first = regions.cut(5).expect("memory").as_ptr();
        assert_eq!(first, regions.cut(5).expect("memory").as_ptr(), "the block is free again");
        let kept = regions.cut(5).expect("memory");
        assert_ne!(kept.as_ptr(), regions.cut(5).expect("memory").as_ptr());
    }

    #[test]
    fn shared_ones_are_read_through_loans_and_used_again_once_nobody_holds_it() {
        let mut regions = Regions::shared();
        let bytes: Vec<u8> = (0..LONG).map(|at| (at % 251) as u8).collect();
        let mut loans = Vec::new();
        while let Some(loan) = regions.lend(&bytes) {
            loans.push(loan);
        }
        assert!(loans.len() > SHARED, "there is a limit, and it is not that low: {}", loans.len());
        for (skip, len) in [(0, LONG), (1, 1000), (4097, 70_000), (LONG, 0)] {
            let part = loans[3].part(skip, len);
            let fetched = Regions::default().fetch(b"head", &part).expect("reads");
            assert_eq!(fetched[..4], *b"head");
            assert_eq!(fetched[4..], bytes[skip..skip + len]);
        }
        let last = loans.pop().expect("many");
        drop(loans);
        assert!(regions.lend(&bytes).is_some(), "all but one block are free");
        let fetched = Regions::default().fetch(&[], &last).expect("reads");
        assert_eq!(fetched, bytes, "that one was not touched");
    }

    #[test]
    fn one_that_is_announced_grows_and_keeps_what_is_in_it() {
        let len = 3 * BLOCK + 5;
        let mut region = Regions::default().announced(len).expect("memory");
        let mut filled = 0;
        loop {
            for (at, byte) in region.iter_mut().enumerate().skip(filled).step_by(4096) {
                *byte = (at / 4096 % 251) as u8;
            }
            filled = region.len().next_multiple_of(4096);
            if region.len() == len {
                break;
            }
            let before = region.len();
            region.grow(len).expect("memory");
            assert!(region.len() <= 2 * before, "{before} bytes became {}", region.len());
        }
        let bytes = region.freeze();
        assert!((0..len).step_by(4096).all(|at| usize::from(bytes[at]) == at / 4096 % 251));
        assert_eq!(Regions::default().announced(LONG).expect("memory").len(), LONG);
    }

    #[test]
    fn one_that_is_longer_than_a_block_has_its_own() {
        let mut region = Regions::default().cut(BLOCK + 1).expect("memory");
        region[BLOCK] = 7;
        assert_eq!(region.freeze()[BLOCK], 7);
        assert!(Regions::shared().cut(BLOCK + 1).is_err(), "but it is not shared");
    }
}
