//! [`Programs`]: where a worker of a fleet has the programs of its jobs from.

use lithops_core::{
    error::{Error, ErrorKind, Result},
    protocol::{Program, ProgramId},
    storage::Locator,
};

/// The programs of a worker of a fleet.
#[derive(Debug)]
pub(in crate::transport) struct Programs {
    /// Whether the program that the worker was started with has functions of its own.
    is_program: bool,
    #[cfg(feature = "programs")]
    cache: crate::program_cache::ProgramCache,
}

impl Programs {
    pub(in crate::transport) fn new(is_program: bool) -> Self {
        Self {
            is_program,
            #[cfg(feature = "programs")]
            cache: crate::program_cache::ProgramCache::new(None, HINTS),
        }
    }

    /// The program to execute: `own`, or the one that the job's manifest names.
    ///
    /// # Errors
    /// When it cannot be fetched, or is not the one that the client has stored.
    pub(in crate::transport) async fn find(
        &mut self,
        program: Option<&ProgramId>,
        own: &Program,
        storage: &Locator,
    ) -> Result<Program> {
        match program {
            Some(program) => self.fetch(program, storage).await,
            None if self.is_program => Ok(own.clone()),
            None => Err(Error::new(
                ErrorKind::InvalidInput,
                "the job names no program, and `lithops-worker` has no functions of its own",
            )
            .with_hint("client and workers must be of one version of lithops")),
        }
    }

    #[cfg(feature = "programs")]
    async fn fetch(&mut self, program: &ProgramId, storage: &Locator) -> Result<Program> {
        let stored = lithops_core::artifact::StoredProgram::new(program.digest, program.len);
        let path = self.cache.path(&stored, storage).await?;
        Ok(Program { path, arguments: program.arguments.clone() })
    }

    #[cfg(not(feature = "programs"))]
    #[expect(clippy::unused_async, reason = "it fetches with the feature `programs`")]
    async fn fetch(&mut self, _: &ProgramId, _: &Locator) -> Result<Program> {
        Err(Error::new(
            ErrorKind::Unsupported,
            "this worker was built without the feature `programs`, and cannot fetch the program of the job",
        ))
    }
}

/// What to do about a program that a worker of a fleet cannot read.
#[cfg(feature = "programs")]
const HINTS: crate::program_cache::ReadHints = crate::program_cache::ReadHints {
    denied: "the worker's identity must be allowed to read the bucket of the jobs",
    otherwise: "is the storage the one that the client has?",
};
