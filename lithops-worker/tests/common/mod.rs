//! What tests of workers that listen share.

pub(crate) mod calls;
pub(crate) mod process;
