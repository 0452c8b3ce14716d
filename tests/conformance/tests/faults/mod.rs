//! A storage that speaks HTTP, behind a proxy that makes it fail: what is said and what is stored stay right.

mod trials;

pub(crate) use trials::faults;
