//! The layers that this process has packed: a program that makes many executors compresses its image once. Only what
//! layers are called by is kept, because registries have their bytes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use lithops_core::{artifact::Machine, digest::Digest};

static KNOWN: LazyLock<Mutex<HashMap<Digest, Known>>> = LazyLock::new(Mutex::default);

/// What is known of a layer that was packed.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// The digest of the layer before it was compressed.
    pub(super) diff_id: Digest,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) machine: Machine,
    /// The variables that lead to what is in the layer.
    pub(super) env: BTreeMap<String, String>,
}

/// The layer that has been packed under this key.
pub(super) fn find(key: Digest) -> Option<Known> {
    all().get(&key).cloned()
}

pub(super) fn remember(key: Digest, layer: &Known) {
    all().insert(key, layer.clone());
}

pub(super) fn forget(key: &Digest) {
    all().remove(key);
}

fn all() -> MutexGuard<'static, HashMap<Digest, Known>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}
