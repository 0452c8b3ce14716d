//! The package of a function: the program that plays the worker, and the zip that holds it.

use std::{
    io::{Cursor, Write},
    path::PathBuf,
};

use lithops_core::{
    artifact::{Artifact, Glibc, Machine, Target, beside_this_program},
    error::{Error, ErrorKind, Result},
    protocol::Program,
};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::config::AwsLambdaConfig;

/// The file name of the program that plays the worker.
const WORKER: &str = "lithops-worker";
/// A text that is in every program that can serve Lambda. Unlike a symbol it is not stripped by any build.
const MARK: &str = concat!("lithops-worker/", env!("CARGO_PKG_VERSION"), "/lambda");

/// The program that is deployed as the function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bootstrap {
    /// The path of the program.
    pub(crate) path: PathBuf,
    /// Whether the program also has the user's functions.
    pub(crate) is_program: bool,
}

impl Bootstrap {
    /// The program that the configuration names; else the `lithops-worker` beside this program or in the path; else the
    /// program itself, which can serve Lambda as well.
    ///
    /// # Errors
    /// When none of these programs can serve Lambda.
    pub(crate) fn of(config: &AwsLambdaConfig, program: &Program) -> Result<Self> {
        let own = || config.artifact.clone().unwrap_or_else(|| program.path.clone());
        // A test binary would run its tests.
        let serves = program.arguments.is_empty() || config.artifact.is_some();
        if config.include_function {
            return match serves {
                true => Ok(Self { path: own(), is_program: true }),
                false => Err(no_worker("a test binary cannot be deployed as the function itself")),
            };
        }
        let worker = config.worker.clone().or_else(|| {
            let found = beside_this_program(WORKER)?;
            let bytes = std::fs::read(&found).ok()?;
            can_serve(&bytes).then_some(found)
        });
        match worker {
            Some(path) => Ok(Self { path, is_program: false }),
            None if serves => Ok(Self { path: own(), is_program: true }),
            None => Err(no_worker("there is no `lithops-worker` that can serve Lambda")),
        }
    }

    /// The bytes of the program as they are deployed, without debug information.
    ///
    /// # Errors
    /// When the program cannot run on Amazon Linux 2023: the error says why.
    pub(crate) async fn read(&self, machine: Machine) -> Result<Artifact> {
        let artifact = Artifact::read(&self.path, &target(machine)).await?;
        if can_serve(&artifact.bytes) {
            return Ok(artifact);
        }
        let problem = format!("`{}` cannot serve Lambda, or is of another version", self.path.display());
        let hint = match self.is_program {
            true => "build the program with the feature `aws_lambda` of `lithops`",
            false => "build it with `cargo build --release -p lithops-worker --features lambda`",
        };
        Err(Error::new(ErrorKind::InvalidInput, problem).with_hint(hint))
    }
}

/// The system of instances, which the program must fit: Amazon Linux 2023.
pub(crate) fn target(machine: Machine) -> Target {
    Target { machine, glibc: Glibc(2, 34), name: "Lambda (provided.al2023)" }
}

/// The zip of a function with this program. The same program makes the same bytes, so that its digest can be compared.
pub(crate) fn zipped(program: &[u8]) -> Result<Vec<u8>> {
    let failed = |error: zip::result::ZipError| {
        Error::new(ErrorKind::Unexpected, format!("cannot make the zip of the function: {error}"))
    };
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options =
        SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).unix_permissions(0o755);
    zip.start_file("bootstrap", options).map_err(failed)?;
    zip.write_all(program)?;
    Ok(zip.finish().map_err(failed)?.into_inner())
}

fn can_serve(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, MARK.as_bytes()).is_some()
}

pub(crate) fn no_worker(problem: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, problem).with_hint(
        "build it with `cargo build --release -p lithops-worker --features lambda`, and name it with \
         `aws_lambda: {worker: path}`",
    )
}
