//! The partitioner: cuts objects, files and URLs into parts that begin and end where records do.
//!
//! [`DataSource`] says what a job reads; `resolve` finds the objects and how many parts each has; a part
//! travels as a `Partition` in front of its call's arguments; [`DataObject`] reads the part in the worker.
//!
//! A part is given a range of bytes, and **owns the records that begin in it**: it starts at the first place
//! from its range's start on where a record begins, and ends where the next part starts. Both places are
//! found by reading a few bytes around them, so that no worker reads the whole object, and neighbours always
//! agree:
//!
//! ```text
//! ranges    |0            |13           |26            39|
//! records   aaaa/bbbbbbbb/ccccccccccccccccccccc/dd/eeeee
//! parts     [aaaa/bbbbbbbb/][ccc.......ccccccc/][dd/eeeee]
//! ```
//!
//! A record that is longer than a range leaves those parts empty whose ranges it covers.

mod boundary;
mod compression;
mod lines;
mod location;
mod members;
mod object;
mod options;
mod part;
mod reading;
mod resolve;
mod resolved;
mod size;
mod source;
mod version;

#[cfg(feature = "http")]
mod http;
#[cfg(test)]
mod tests;

pub use lines::Lines;
pub use object::DataObject;
pub(crate) use options::ObjectOptions;
pub(crate) use part::Partition;
pub use part::split;
pub(crate) use resolve::{ResolveContext, ResolvedObjects, resolve};
pub use size::ByteSize;
pub use source::DataSource;
pub(crate) use source::Wanted;
