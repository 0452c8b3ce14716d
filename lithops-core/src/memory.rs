//! Memory for long frames and columns, in regions, and how processes of one machine share it.
//!
//! The system's first touch of an ordinary page costs several times what is copied into it. Regions are cut from
//! blocks of huge pages, which cost a fraction of that, and a few blocks are kept to be used again, which costs nothing.
//! A region keeps its block as long as it lives.
//!
//! Regions of shared blocks can be lent to other processes, which may hand the [`Loan`] on. A block is used again when
//! nobody holds a loan of it any more, in whatever process: all of them hold the same end of a pipe, and the system
//! tells when the last of them has let it go, be it by dying.

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

/// Shorter ones belong where everything else is.
pub const LONG: usize = 256 << 10;

/// What regions are cut from, unless one is longer.
const BLOCK: usize = 8 << 20;
const HUGE_PAGE: usize = 2 << 20;
/// So many blocks of the ordinary size are kept when nobody needs them.
const KEPT: usize = 4;
/// And so many for a moment: the next job may be like this one, and memory that comes from a virtual machine's host
/// costs twenty times what was used before.
const KEPT_FOR_NOW: usize = 64;
const MOMENT: Duration = Duration::from_secs(1);
/// There are no more shared blocks than this in one process.
const SHARED: usize = 4;
/// Regions begin at such places: the kernel copies to others much more slowly.
pub(crate) const ALIGNED: usize = 64;

static FREE: Mutex<Free> = Mutex::new(Free { blocks: Vec::new(), is_swept: false });
static LENT: Mutex<Lent> = Mutex::new(Lent { blocks: Vec::new(), count: 0 });

/// Some bytes of a block, of which no other region has any.
#[derive(Debug)]
pub(crate) struct Region {
    cut: Arc<Cut>,
    start: usize,
    len: usize,
}

/// The bytes of a region, for another process to read. Whoever holds one keeps them from being overwritten.
#[derive(Debug, Clone)]
pub struct Loan {
    file: Arc<OwnedFd>,
    held: Arc<OwnedFd>,
    start: u64,
    len: usize,
}

/// Cuts regions from blocks.
#[derive(Debug, Default)]
pub struct Regions {
    shared: bool,
    cut: Option<Arc<Cut>>,
    used: usize,
}

/// A block that regions have been cut from; it is kept for others when the last of them goes.
#[derive(Debug)]
struct Cut {
    block: Option<Block>,
    /// What is handed out with loans of it, if it is shared, and the other end of that pipe.
    held: Option<(Arc<OwnedFd>, OwnedFd)>,
}

#[derive(Debug)]
struct Block {
    memory: NonNull<u8>,
    len: usize,
    /// What other processes read it through, if it is shared.
    file: Option<Arc<OwnedFd>>,
}

/// Blocks that nobody needs, and since when.
struct Free {
    blocks: Vec<(Block, Instant)>,
    /// Whether a thread gives back what is too much.
    is_swept: bool,
}

/// Shared blocks that nobody cuts from, and that others may hold loans of.
struct Lent {
    blocks: Vec<(Block, OwnedFd)>,
    /// How many shared blocks there are, these or not.
    count: usize,
}

impl Regions {
    /// Regions that other processes can read.
    #[must_use]
    pub fn shared() -> Self {
        Self { shared: true, ..Self::default() }
    }

    /// The next region. What is in it is not specified.
    ///
    /// # Errors
    /// When the system has no memory, or others hold all that is shared.
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
                // It may be free again as soon as this does not hold it any more.
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

    /// The beginning of a region of `len` bytes that are said to come: no more than a block, and the rest as it
    /// [grows](Region::grow). That they are said to come is no reason to set memory aside for all of them.
    ///
    /// # Errors
    /// When the system has no memory.
    pub(crate) fn announced(&mut self, len: usize) -> io::Result<Region> {
        if len <= BLOCK {
            return self.cut(len);
        }
        Ok(Region { cut: Arc::new(Cut::of(Block::new(BLOCK)?)), start: 0, len: BLOCK })
    }

    /// A region that begins with `head`, followed by the bytes of a loan.
    pub(crate) fn fetch(&mut self, head: &[u8], loan: &Loan) -> io::Result<Bytes> {
        // So that what is copied is equally aligned on both sides.
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

    /// Lends a copy to whoever is sent the loan; `None` when others hold too much of what was lent before.
    #[must_use]
    pub fn lend(&mut self, bytes: &[u8]) -> Option<Loan> {
        let mut region = self.cut(bytes.len()).ok()?;
        region.copy_from_slice(bytes);
        region.loan()
    }
}

impl Region {
    /// Makes a region that is a block of its own longer: twice as long, or as long as it is to become. What is in it
    /// stays: its pages get another address, and are not copied.
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

    /// The same as shared bytes.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }

    /// What other processes are sent, if they can read it.
    pub(crate) fn loan(&self) -> Option<Loan> {
        let file = Arc::clone(self.cut.block.as_ref()?.file.as_ref()?);
        let held = Arc::clone(&self.cut.held.as_ref()?.0);
        Some(Loan { file, held, start: self.start as u64, len: self.len })
    }
}

impl Loan {
    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether what is lent is as long as it is said to be.
    pub(crate) fn is_within(&self) -> bool {
        let end = self.start.checked_add(self.len as u64);
        let there = fstat(&*self.file).ok().and_then(|file| u64::try_from(file.st_size).ok());
        end.zip(there).is_some_and(|(end, there)| end <= there)
    }

    /// A part of them.
    #[must_use]
    pub(crate) fn part(&self, skip: usize, len: usize) -> Self {
        assert!(skip.checked_add(len).is_some_and(|end| end <= self.len), "a part is inside of the whole");
        Self { start: self.start + skip as u64, len, ..self.clone() }
    }

    /// What another process is handed, and the numbers that go with it.
    pub(crate) fn parts(&self) -> ([BorrowedFd<'_>; 2], [u64; 2]) {
        ([self.file.as_fd(), self.held.as_fd()], [self.start, self.len as u64])
    }

    /// The same on the other side.
    pub(crate) fn of([file, held]: [OwnedFd; 2], start: u64, len: usize) -> Self {
        Self { file: Arc::new(file), held: Arc::new(held), start, len }
    }
}

impl Deref for Region {
    type Target = [u8];

    #[expect(unsafe_code, reason = "the memory is given by the system, not by an allocator")]
    fn deref(&self) -> &[u8] {
        // SAFETY: the block lives as long as this, all of it can be read, and no other region has these bytes.
        unsafe { slice::from_raw_parts(self.cut.at(self.start), self.len) }
    }
}

impl DerefMut for Region {
    #[expect(unsafe_code, reason = "as above")]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and this one is borrowed exclusively.
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

    /// A shared block that nobody holds a loan of.
    fn shared() -> io::Result<Self> {
        // First what may fail without losing a block.
        let (held, watched) = pipe_with(PipeFlags::CLOEXEC)?;
        let block = Block::returned_or_new()?;
        Ok(Self { block: Some(block), held: Some((Arc::new(held), watched)) })
    }

    /// Whether nobody has a region of it any more. Who holds loans is only known once it is given up.
    fn is_unused(self: &mut Arc<Self>) -> bool {
        Arc::get_mut(self).is_some_and(|cut| cut.held.is_none())
    }

    #[expect(unsafe_code, reason = "regions are found by their place")]
    fn at(&self, start: usize) -> *mut u8 {
        let block = self.block.as_ref().expect("only taken when it is dropped");
        assert!(start <= block.len, "regions are inside of their block");
        // SAFETY: that is inside of the block, or just behind it.
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
    fn kept_or_new() -> io::Result<Self> {
        let kept = FREE.lock().unwrap_or_else(PoisonError::into_inner).blocks.pop();
        kept.map_or_else(|| Self::new(BLOCK), |(block, _)| Ok(block))
    }

    /// A shared one that everybody has let go, or a new one.
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

    /// Fresh memory, of which nothing is used until it is touched.
    #[expect(unsafe_code, reason = "memory is mapped by address")]
    fn new(len: usize) -> io::Result<Self> {
        // Of a whole number of huge pages, so that the system places it well.
        let len = len.checked_next_multiple_of(HUGE_PAGE).ok_or(io::Errno::NOMEM)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the address, so that no existing mapping is touched.
        let memory = unsafe { mmap_anonymous(ptr::null_mut(), len, access, MapFlags::PRIVATE)? };
        let block = Self { memory: NonNull::new(memory.cast()).ok_or(io::Errno::NOMEM)?, len, file: None };
        // SAFETY: it is this block, and the advice changes nothing that a program can see.
        let _slower_without = unsafe { madvise(memory, len, Advice::LinuxHugepage) };
        Ok(block)
    }

    /// Makes one that is not shared longer.
    #[expect(unsafe_code, reason = "memory is mapped by address")]
    fn grow(&mut self, len: usize) -> io::Result<()> {
        let len = len.checked_next_multiple_of(HUGE_PAGE).ok_or(io::Errno::NOMEM)?;
        if len > self.len {
            // SAFETY: it was mapped with this length and is borrowed exclusively, so that nothing refers to the old
            // address.
            let memory = unsafe { mremap(self.memory.as_ptr().cast(), self.len, len, MremapFlags::MAYMOVE)? };
            self.memory = NonNull::new(memory.cast()).ok_or(io::Errno::NOMEM)?;
            self.len = len;
        }
        Ok(())
    }

    #[expect(unsafe_code, reason = "memory is mapped by address")]
    fn new_shared() -> io::Result<Self> {
        if !may_be_as_long(BLOCK as u64) {
            return Err(io::Errno::FBIG);
        }
        let file = memfd_create("lithops-values", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, BLOCK as u64)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: as above; other processes only read what is in it.
        let memory = unsafe { mmap(ptr::null_mut(), BLOCK, access, MapFlags::SHARED, &file, 0)? };
        let memory = NonNull::new(memory.cast()).ok_or(io::Errno::NOMEM)?;
        let mut block = Self { memory, len: BLOCK, file: None };
        // Only this mapping can change it, and nothing its length.
        let seals = SealFlags::FUTURE_WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&file, seals)?;
        block.file = Some(Arc::new(file));
        Ok(block)
    }
}

/// Whether a file may have so many bytes, one in memory included: else the system kills a process that tries.
#[must_use]
pub fn may_be_as_long(len: u64) -> bool {
    getrlimit(Resource::Fsize).current.is_none_or(|limit| len <= limit)
}

/// Gives back what nobody has needed for a moment, and ends when there is nothing more to give back.
fn sweep() {
    loop {
        thread::sleep(MOMENT);
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        // The oldest are the first.
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
// SAFETY: a block is memory that belongs to nobody else.
unsafe impl Send for Block {}

#[expect(unsafe_code, reason = "as above")]
// SAFETY: a block is changed only through regions, of which no two have the same bytes.
unsafe impl Sync for Block {}

impl Drop for Block {
    #[expect(unsafe_code, reason = "memory is unmapped by address")]
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nobody has a region of it.
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
