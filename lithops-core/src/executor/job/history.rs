//! [`History`]: how long the calls of functions took in earlier jobs, kept in the storage for the planner.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::StreamExt;

use super::{Measured, background::BackgroundTasks};
use crate::{
    config::Config,
    error::{Error, ErrorKind, Result},
    function::Entry,
    journal::{open, seal},
    plan::{Basis, Workload},
    runtime,
    storage::{StorageClient, own_keys::HISTORY},
};

/// The most bytes of a stored history, which has some hundred classes of durations. A larger object is not
/// ours, and is not read into memory.
const LONGEST: u64 = 1 << 20;

/// How long the calls of functions took, by program, function, backend and worker memory. A lost or wrong
/// history only makes plans worse.
pub struct History {
    storage: StorageClient,
    /// The prefix of the keys of this program's histories.
    folder: String,
    /// Whether the history is read and written at all.
    kept: bool,
    /// The histories that this executor has read or measured, by key; `None` where nothing is stored.
    known: Mutex<HashMap<String, Option<Measured>>>,
    /// The background tasks that the executor waits for when it is dropped.
    pending: Arc<BackgroundTasks>,
}

impl History {
    pub(crate) fn new(storage: StorageClient, kept: bool, pending: Arc<BackgroundTasks>) -> Self {
        let program = std::env::current_exe().ok();
        let program = program.as_deref().and_then(|path| path.file_stem()).unwrap_or_default();
        let folder = folder(&program.to_string_lossy());
        Self { storage, folder, kept, known: Mutex::default(), pending }
    }

    /// The workload that earlier jobs of a function measured, for tools that run without the program itself.
    /// `memory` is that of a worker, in MiB.
    ///
    /// # Errors
    /// `NotFound`, with a hint that lists the histories of the program; or the storage cannot be opened.
    pub fn of_program(
        config: &Config,
        program: &str,
        function: &str,
        backend: &str,
        memory: u64,
    ) -> Result<Workload> {
        let (storage, _) = StorageClient::open(config)?;
        let folder = folder(program);
        let history = Self {
            storage,
            folder,
            kept: true,
            known: Mutex::default(),
            pending: Arc::new(BackgroundTasks::default()),
        };
        let key = history.key_of(function, backend, memory);
        runtime::start()?.block_on(async {
            if let Some(expected) = history.load(&key).await.as_ref().and_then(expected) {
                return Ok(expected);
            }
            // Objects that cannot be listed are left out: the list is only a hint.
            let found = history.storage.storage().survey(history.storage.bucket(), &history.folder);
            let found = found.filter_map(|object| std::future::ready(object.ok()));
            let keys: Vec<String> = found.map(|object| object.key).collect().await;
            let known = keys.iter().filter_map(|key| key.strip_prefix(&history.folder));
            let known: Vec<_> = known.filter(|name| !history.storage.storage().is_unfinished(name)).collect();
            let hint = match known.is_empty() {
                true => format!("nothing is remembered of a program `{program}`: run a map of it once"),
                false => format!("of `{program}` there are (function/backend-memory): {}", known.join(", ")),
            };
            let problem = format!("no job of `{function}` on `{backend}` is remembered");
            Err(Error::new(ErrorKind::NotFound, problem).with_hint(hint))
        })
    }

    /// The key of a function's history. Backend and memory are part of the key, because durations differ with
    /// both.
    pub(crate) fn key(&self, entry: &Entry, backend: &str, memory: u64) -> String {
        self.key_of(entry.name.unwrap_or(entry.path), backend, memory)
    }

    fn key_of(&self, function: &str, backend: &str, memory: u64) -> String {
        format!("{}{}/{}-{memory}", self.folder, fit(function), fit(backend))
    }

    /// The history under a key, if this executor has it in memory.
    pub(crate) fn known(&self, key: &str) -> Option<Measured> {
        self.lock().get(key).cloned().flatten()
    }

    /// The history under a key, read from the storage the first time. A storage that fails counts as no
    /// history.
    pub(crate) async fn load(&self, key: &str) -> Option<Measured> {
        if !self.kept {
            return None;
        }
        if let Some(known) = self.lock().get(key) {
            return known.clone();
        }
        let read = match self.read(key).await {
            Ok(read) => read,
            Err(error) => {
                tracing::debug!(key, %error, "cannot read how long earlier calls took");
                None
            }
        };
        // A job may have added measurements meanwhile, which must not be overwritten.
        self.lock().entry(key.to_owned()).or_insert(read).clone()
    }

    async fn read(&self, key: &str) -> Result<Option<Measured>> {
        let (storage, bucket) = (self.storage.storage(), self.storage.bucket());
        let object = match storage.get_within(bucket, key, LONGEST).await {
            Ok(object) => object,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let json = open(key, &object, key).await?;
        // Another version may have written another format: a history that does not decode counts as none.
        Ok(serde_json::from_slice::<Measured>(&json)
            .ok()
            .filter(|read| read.workload(Basis::Given).is_some()))
    }

    /// Adds the measurements of a job, in memory and, in the background, in the storage.
    fn learn(self: &Arc<Self>, key: String, measured: Measured) {
        if !self.kept || measured.calls() == 0 {
            return;
        }
        let history = Arc::clone(self);
        self.pending.begin();
        runtime::driver().spawn(async move {
            let before = history.load(&key).await.unwrap_or_default();
            let now = before.then(&measured);
            let json = serde_json::to_vec(&now).unwrap_or_default();
            history.lock().insert(key.clone(), Some(now));
            let sealed = seal(&key, json.into()).await;
            if let Err(error) = history.storage.put_object(history.storage.bucket(), &key, sealed).await {
                tracing::debug!(key, %error, "cannot store how long calls took");
            }
            history.pending.end();
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Option<Measured>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("folder", &self.folder)
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}

/// Where a job's driver records the durations of its calls when the job is finished.
#[derive(Debug, Clone)]
pub struct Learn {
    pub(crate) history: Arc<History>,
    pub(crate) key: String,
}

impl Learn {
    /// The measurements of earlier jobs, if they are in memory.
    pub(crate) fn earlier(&self) -> Option<Measured> {
        self.history.known(&self.key)
    }

    /// Records the measurements of a finished job.
    pub(crate) fn from(&self, measured: Measured) {
        self.history.learn(self.key.clone(), measured);
    }
}

fn folder(program: &str) -> String {
    format!("{HISTORY}{}/", fit(program))
}

/// The workload that earlier measurements predict for the next job; `None` without measurements.
pub(crate) fn expected(measured: &Measured) -> Option<Workload> {
    measured.workload(Basis::History { calls: measured.calls() })
}

/// A name as one part of a key: characters that are not allowed there become dots.
fn fit(name: &str) -> String {
    let fit = |character: char| match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => character,
        _ => '.',
    };
    // Storages limit the length of keys, so that long names are cut.
    let name: String = name.chars().take(200).map(fit).collect();
    // An empty part, or one of only dots, would name another folder.
    if name.chars().all(|character| character == '.') { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_one_part_of_a_key() {
        for (name, wanted) in
            [("app::double", "app..double"), ("..", "_.."), ("", "_"), ("a/b", "a.b"), ("ü", "_.")]
        {
            assert_eq!(fit(name), wanted);
        }
    }
}
