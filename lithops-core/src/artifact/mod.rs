//! Artifacts: compiled programs that run on another machine than the one they were built on.
//!
//! A program is uploaded as it was compiled. It is read from its file, must be one that the other machine
//! can run, loses its debug information, and is identified by the digest of the remaining bytes. It is
//! stored once under that digest, compressed. A worker checks the digest of the very bytes that it executes.

mod elf;
mod program;
mod program_ref;
mod stored_program;

pub use elf::{BinaryRequirements, Glibc, Machine};
pub use program::{Artifact, Target, beside_this_program, without_debug_information};
pub use program_ref::ProgramRef;
pub use stored_program::{StoredProgram, damaged};
