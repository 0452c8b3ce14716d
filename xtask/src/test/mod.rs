//! `cargo xtask test`: the tests of this workspace. A test that failed is run again alone, so that a test that is only
//! disturbed by its neighbours is told apart from one that fails.

mod report;
mod rerun;
mod run;
mod watched;

pub(crate) use run::Tests;
