//! [`ProgramRef`]: how a worker finds the program that runs its calls.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

use super::StoredProgram;
use crate::storage::Locator;

/// How a worker finds the program in the storage. Every activation carries it, because the next
/// activation may run another program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgramRef {
    /// The reference to the program in the storage.
    pub program: StoredProgram,
    /// The storage with the program, without credentials.
    pub storage: Locator,
    /// The arguments of the program.
    pub arguments: Vec<OsString>,
    /// The most bytes, in frames, of an answer that is returned as a whole.
    pub answer_limit: u64,
}
