//! The partitioner over stored objects, over folders, and over URLs.

mod folders;
mod records;
#[cfg(feature = "http")]
mod urls;
