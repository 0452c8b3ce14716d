//! [`ProgramRef`]: what a worker is told of the program that runs its calls.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

use super::StoredProgram;
use crate::storage::Locator;

/// What a worker that finds the program in the storage is told of it, with every activation: it may run another one in
/// the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgramRef {
    /// The program.
    pub program: StoredProgram,
    /// Where it lies; no secret in it.
    pub storage: Locator,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// The most bytes of an answer that comes as a whole, in frames.
    pub answer_limit: u64,
}
