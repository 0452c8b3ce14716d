//! Artifacts: compiled programs that leave the machine they were built on.
//!
//! A program is its own artifact. It is read as it lies there, must be one that the other machine can run, loses its
//! debug information, and is known by the digest of what is left. It is stored once under that digest, compressed;
//! whoever executes it has checked the digest of the very bytes that are executed.

mod elf;
mod program;
mod program_ref;
mod stored_program;

pub use elf::{BinaryRequirements, Glibc, Machine};
pub use program::{Artifact, Target, beside_this_program};
pub use program_ref::ProgramRef;
pub use stored_program::{StoredProgram, damaged};
