//! What several tests need.

mod wait;

pub(crate) use wait::wait_for;
