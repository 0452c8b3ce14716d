//! The program that the workers of a fleet fetch from the storage, as on a platform elsewhere.

use lithops_core::{
    artifact::{Artifact, Glibc, Machine, StoredProgram, Target},
    error::Result,
    protocol::{Program, ProgramId},
    storage::StorageClient,
};

/// Stores the program, unless it is stored already.
pub(crate) async fn store(program: &Program, storage: &StorageClient) -> Result<ProgramId> {
    // It runs here already, so that any version of the C library is right.
    let here = Target { machine: Machine::here(), glibc: Glibc(u32::MAX, 0), name: "this machine" };
    let artifact = Artifact::read(&program.path, &here).await?;
    let stored = StoredProgram::of(&artifact);
    stored.put(&artifact, storage).await?;
    Ok(ProgramId { digest: stored.digest, len: stored.len, arguments: program.arguments.clone() })
}
