//! Programs that the tests make images of: C programs with libraries of their own, compiled when they are needed.

mod compile;
mod unpacked;

pub(crate) use compile::Program;
pub(crate) use unpacked::Unpacked;
