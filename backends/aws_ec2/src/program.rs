//! The program of the instances: the user's own, which is the worker too. It is stored once, by its digest, in a form that
//! every system can unpack.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use lithops_core::{
    artifact::{Artifact, Glibc, StoredProgram, Target},
    error::{Error, ErrorKind, Result},
    protocol::Program,
    storage::{StorageClient, own_keys::PROGRAMS},
};

use crate::config::Ec2Config;

/// The C library of Amazon Linux 2023.
const AL2023: Glibc = Glibc(2, 34);

/// The program, as instances find it.
#[derive(Debug, Clone)]
pub(crate) struct FleetProgram {
    /// Where it lies in the bucket of the jobs, compressed.
    pub(crate) key: String,
    /// The SHA-256 of its bytes, as hexadecimal digits.
    pub(crate) digest: String,
    pub(crate) arguments: Vec<String>,
}

/// Reads the program, which must be able to run on the instances.
pub(crate) async fn read(config: &Ec2Config, program: &Program) -> Result<Artifact> {
    let (glibc, name) = match &config.ami {
        None => (AL2023, "Amazon Linux 2023"),
        // A worker that the image's library is too old for says so on the console.
        Some(_) => (Glibc(u32::MAX, 0), "the image of `target_ami`"),
    };
    let target = Target { machine: config.machine, glibc, name };
    Artifact::read(config.artifact.as_ref().unwrap_or(&program.path), &target).await
}

/// Stores the program, unless it is there.
pub(crate) async fn store(
    config: &Ec2Config,
    program: &Program,
    storage: &StorageClient,
) -> Result<FleetProgram> {
    let artifact = read(config, program).await?;
    let digest = artifact.digest.to_string();
    let (key, bucket) = (format!("{PROGRAMS}{digest}.gz"), storage.bucket());
    // The use is noted first, because an unused program may be about to be removed.
    if let Err(error) = StoredProgram::of(&artifact).note_use(storage).await {
        tracing::debug!(key, %error, "cannot note that the program is used");
    }
    match storage.head_object(bucket, &key).await {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let bytes = artifact.bytes.clone();
            let compress = move || {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(&bytes).and_then(|()| encoder.finish())
            };
            let compressed = tokio::task::spawn_blocking(compress).await;
            let compressed = compressed.map_err(|error| {
                Error::new(ErrorKind::Unexpected, format!("the program was not compressed: {error}"))
            })??;
            tracing::info!(bytes = compressed.len(), key, "the program is stored for its instances");
            storage.put_object(bucket, &key, compressed).await?;
        }
        Err(error) => return Err(error),
    }
    let arguments = match &config.artifact {
        Some(_) => Vec::new(),
        None => program.arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect(),
    };
    Ok(FleetProgram { key, digest, arguments })
}
