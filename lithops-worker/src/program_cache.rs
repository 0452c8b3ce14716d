//! [`ProgramCache`]: programs that a worker has fetched from the storage, so that its sub-workers can execute them.

use std::{fs::File, os::fd::AsRawFd, path::PathBuf};

use lithops_core::{
    artifact::{StoredProgram, damaged},
    digest::Digest,
    error::{Error, ErrorKind, Result, Retry},
    storage::{Locator, StorageClient, temporary_folder},
};

/// How many programs are kept: the one in use and two more, for jobs of other programs that come in turn. The disk of
/// a sandbox holds few hundred megabytes.
const KEPT: usize = 3;

/// What to do, on this platform, about a program that cannot be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadHints {
    /// When the storage denies it.
    pub(crate) denied: &'static str,
    /// When the error itself has no hint.
    pub(crate) otherwise: &'static str,
}

/// Fetched programs, by digest.
#[derive(Debug)]
pub(crate) struct ProgramCache {
    /// The digest of the program of this very process, if that was deployed under it.
    own: Option<Digest>,
    hints: ReadHints,
    /// The program used last comes first. The files have no names, and go when they are dropped.
    fetched: Vec<(Digest, File)>,
}

impl ProgramCache {
    /// An empty cache.
    pub(crate) fn new(own: Option<Digest>, hints: ReadHints) -> Self {
        Self { own, hints, fetched: Vec::new() }
    }

    /// The path to execute a program by. It leads to the very bytes whose digest was checked, while this process lives
    /// and until [`KEPT`] other programs were asked for.
    ///
    /// # Errors
    /// The program cannot be read or kept, or is not what was stored ([`StoredProgram::is_damaged`]).
    pub(crate) async fn path(&mut self, program: &StoredProgram, storage: &Locator) -> Result<PathBuf> {
        let process = std::process::id();
        if self.own == Some(program.digest) {
            return Ok(format!("/proc/{process}/exe").into());
        }
        let file = match self.fetched.iter().position(|(digest, _)| *digest == program.digest) {
            Some(at) => self.fetched.remove(at).1,
            None => {
                // Before the fetch, so that there is room on the disk.
                self.fetched.truncate(KEPT - 1);
                let storage = StorageClient::connect(storage)?;
                let fetched = program.fetch(&storage, temporary_folder()).await;
                fetched.map_err(|error| self.unreadable(error))?
            }
        };
        let path = format!("/proc/{process}/fd/{}", file.as_raw_fd()).into();
        self.fetched.insert(0, (program.digest, file));
        Ok(path)
    }

    fn unreadable(&self, error: Error) -> Error {
        let kind = match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::NotFound => error.kind(),
            // Another worker, or this one a moment later, may succeed.
            _ if error.retry() == Retry::Later => ErrorKind::Io,
            kind => kind,
        };
        let is_damaged = StoredProgram::is_damaged(&error);
        let hint = match (kind, error.hint()) {
            (ErrorKind::PermissionDenied, _) => self.hints.denied,
            (ErrorKind::NotFound, _) => {
                "has something removed it, or is the bucket another than the client's?"
            }
            (_, Some(hint)) => hint,
            _ if is_damaged => "something else has written there, or the storage is damaged",
            _ => self.hints.otherwise,
        };
        let words = format!("the worker cannot fetch the program from the storage: {}", error.message());
        let unreadable =
            Error::new(kind, words).with_hint(hint.to_owned()).with_retry(error.retry()).with_source(error);
        // The mark is on the cause, and those who look for it look at the outer error only.
        if is_damaged { damaged(unreadable) } else { unreadable }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use lithops_core::artifact::Artifact;

    use super::*;

    const HINTS: ReadHints = ReadHints { denied: "ask for the right to", otherwise: "is it the right one?" };

    fn program(text: &'static [u8]) -> (Artifact, StoredProgram) {
        let artifact = Artifact { digest: Digest::of(text), bytes: Bytes::from_static(text) };
        let stored = StoredProgram::of(&artifact);
        (artifact, stored)
    }

    #[tokio::test]
    async fn a_program_is_fetched_once_until_enough_others_were() {
        let locator = Locator::new("memory", "bucket");
        let storage = StorageClient::connect(&locator).expect("a storage");
        let mut cache = ProgramCache::new(None, HINTS);
        let mut paths = Vec::new();
        let texts: [&[u8]; KEPT + 1] = [b"one", b"two", b"three", b"four"];
        for text in texts {
            let (artifact, stored) = program(text);
            stored.put(&artifact, &storage).await.expect("stored");
            let path = cache.path(&stored, &locator).await.expect("fetched");
            assert_eq!(std::fs::read(&path).expect("it can be read"), text);
            // From here on the cache alone can have it.
            storage.storage().delete(storage.bucket(), stored.key()).await.expect("removed");
            paths.push(path);
        }
        assert_eq!(cache.path(&program(texts[1]).1, &locator).await.expect("kept"), paths[1]);
        let error = cache.path(&program(texts[0]).1, &locator).await.expect_err("it was dropped");
        assert!(
            StoredProgram::is_damaged(&error) && error.to_string().contains("cannot fetch the program"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn the_program_of_this_process_is_not_fetched() {
        let (artifact, stored) = program(b"own");
        let mut cache = ProgramCache::new(Some(artifact.digest), HINTS);
        let path = cache.path(&stored, &Locator::new("memory", "bucket")).await.expect("it is here");
        assert_eq!(path, PathBuf::from(format!("/proc/{}/exe", std::process::id())));
    }

    #[test]
    fn what_to_do_is_said_for_the_platform() {
        let cache = ProgramCache::new(None, HINTS);
        let hint = |kind| cache.unreadable(Error::new(kind, "no")).hint().map(str::to_owned);
        assert_eq!(hint(ErrorKind::PermissionDenied).as_deref(), Some(HINTS.denied));
        assert_eq!(hint(ErrorKind::Unsupported).as_deref(), Some(HINTS.otherwise));
    }
}
