//! The closure of a program: its loader, its libraries and the libraries of those, found as the loader finds them.
//!
//! ```text
//!  program ──PT_INTERP──> loader
//!     └─────DT_NEEDED───> library ──DT_NEEDED──> library ..
//! ```
//! A library is looked for in `DT_RPATH` or `DT_RUNPATH`, in folders that the caller names, in the loader's cache and in
//! the default folders. No program is run for that. What the loader would find by its cache or its defaults is listed in
//! a cache of the image's own, so that it is found with any folders that a distribution has built into its loader.

mod elf;
mod ld_cache;
mod object;
mod search;

pub(crate) use elf::is_elf;
pub(crate) use search::{Closure, Root};
