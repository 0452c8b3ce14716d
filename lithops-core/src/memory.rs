//! [`Region`]: memory for long frames and columns.
//!
//! The system's first touch of an ordinary page costs several times what is copied into it. Regions are cut from
//! blocks of huge pages, which cost a fraction of that, and a few blocks are kept to be used again, which costs nothing.
//! A region keeps its block as long as it lives.

use std::{
    ops::{Deref, DerefMut},
    ptr::{self, NonNull},
    slice,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use rustix::{
    io,
    mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap},
};

/// Shorter ones belong where everything else is.
pub(crate) const LONG: usize = 256 << 10;

/// What regions are cut from, unless one is longer.
const BLOCK: usize = 8 << 20;
const HUGE_PAGE: usize = 2 << 20;
/// So many blocks of the ordinary size are kept when nobody needs them.
const KEPT: usize = 4;
/// Regions begin at such places: the kernel copies to others much more slowly.
const ALIGNED: usize = 64;

static FREE: Mutex<Vec<Block>> = Mutex::new(Vec::new());

/// Some bytes of a block, of which no other region has any.
#[derive(Debug)]
pub(crate) struct Region {
    block: Arc<Shared>,
    start: usize,
    len: usize,
}

/// Cuts regions from blocks.
#[derive(Debug, Default)]
pub(crate) struct Regions {
    block: Option<Arc<Shared>>,
    used: usize,
}

/// A block that regions have been cut from; it is kept for others when the last of them goes.
#[derive(Debug)]
struct Shared(Option<Block>);

#[derive(Debug)]
struct Block {
    memory: NonNull<u8>,
    len: usize,
}

impl Regions {
    /// The next region. What is in it is not specified.
    ///
    /// # Errors
    /// When the system has no memory.
    pub(crate) fn cut(&mut self, len: usize) -> io::Result<Region> {
        if len > BLOCK {
            return Ok(Region { block: Arc::new(Shared(Some(Block::new(len)?))), start: 0, len });
        }
        if self.block.as_mut().is_some_and(|block| Arc::get_mut(block).is_some()) {
            // Nobody has anything of it any more.
            self.used = 0;
        }
        let block = match &mut self.block {
            Some(block) if self.used + len <= BLOCK => block,
            block => {
                self.used = 0;
                block.insert(Arc::new(Shared(Some(Block::kept_or_new()?))))
            }
        };
        let start = self.used;
        self.used = (start + len).next_multiple_of(ALIGNED);
        Ok(Region { block: Arc::clone(block), start, len })
    }
}

impl Region {
    /// The same as shared bytes.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Deref for Region {
    type Target = [u8];

    #[expect(unsafe_code, reason = "the memory is given by the system, not by an allocator")]
    fn deref(&self) -> &[u8] {
        // SAFETY: the block lives as long as this, all of it can be read, and no other region has these bytes.
        unsafe { slice::from_raw_parts(self.block.at(self.start), self.len) }
    }
}

impl DerefMut for Region {
    #[expect(unsafe_code, reason = "as above")]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and this one is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.block.at(self.start), self.len) }
    }
}

impl AsRef<[u8]> for Region {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Shared {
    #[expect(unsafe_code, reason = "regions are found by their place")]
    fn at(&self, start: usize) -> *mut u8 {
        let block = self.0.as_ref().expect("only taken when it is dropped");
        assert!(start <= block.len, "regions are inside of their block");
        // SAFETY: that is inside of the block, or just behind it.
        unsafe { block.memory.as_ptr().add(start) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let Some(block) = self.0.take().filter(|block| block.len == BLOCK) else { return };
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT {
            free.push(block);
        }
    }
}

impl Block {
    fn kept_or_new() -> io::Result<Self> {
        let kept = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.map_or_else(|| Self::new(BLOCK), Ok)
    }

    /// Fresh memory, of which nothing is used until it is touched.
    #[expect(unsafe_code, reason = "memory is mapped by address")]
    fn new(len: usize) -> io::Result<Self> {
        // Of a whole number of huge pages, so that the system places it well.
        let len = len.next_multiple_of(HUGE_PAGE);
        // SAFETY: the kernel chooses the address, so that no existing mapping is touched.
        let memory =
            unsafe { mmap_anonymous(ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)? };
        let block = Self { memory: NonNull::new(memory.cast()).ok_or(io::Errno::NOMEM)?, len };
        // SAFETY: it is this block, and the advice changes nothing that a program can see.
        let _slower_without = unsafe { madvise(memory, len, Advice::LinuxHugepage) };
        Ok(block)
    }
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
        let mut cut: Vec<_> = (1..=9).map(|number| (number, regions.cut(LONG * 3).expect("memory"))).collect();
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
    fn one_that_is_longer_than_a_block_has_its_own() {
        let mut region = Regions::default().cut(BLOCK + 1).expect("memory");
        region[BLOCK] = 7;
        assert_eq!(region.freeze()[BLOCK], 7);
    }
}
