//! `lithops-worker check`: whether a worker could serve from here, tried without serving.
//!
//! A program that a platform has started for that alone has `LITHOPS_TRANSPORT=check` and a name; what it has found is stored
//! too, where the client looks for it.

use std::{env, path::Path, thread};

use lithops_core::{
    error::{Error, ErrorKind, Result},
    fleet::checked_prefix,
    id::new_uuid,
    process::{CHECK, TRANSPORT_VARIABLE},
    protocol::Launch,
    storage::{self, StorageClient, own_keys::FLEETS},
};
use serde_json::json;

use super::launched::{exit_code, launch, words_of};
use crate::{exit::complain, pool, transport::secrets_file::secrets};

/// What is stored for the check, and read back.
const CONTENT: &[u8] = b"a worker checks this storage";

/// Opens the storage of a launch document, and puts, reads, lists and deletes an object. Prints what this place has and
/// what came of it as JSON; returns the exit code that `pull` would end with.
#[must_use]
pub fn check(file: Option<&Path>) -> i32 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let checked = runtime.map_err(Error::from).and_then(|runtime| {
        let (launch, secrets) = (launch(file)?, secrets()?);
        if let Some(secrets) = secrets {
            storage::give(&secrets.storage, secrets.secrets.into_iter().collect());
        }
        runtime.block_on(use_storage(&launch)).map(|()| (launch, runtime))
    });
    let (error, mut code) = match &checked {
        Ok(_) => (None, 0),
        Err(error) => (Some(words_of(error)), exit_code(error)),
    };
    let used = checked.as_ref().ok().map(|(launch, _)| launch);
    let place = json!({
        "lithops": env!("CARGO_PKG_VERSION"),
        "machine": std::env::consts::ARCH,
        "c_library": c_library(),
        "cpus": thread::available_parallelism().map(std::num::NonZero::get).ok(),
        "memory_limit_bytes": pool::memory_limit(),
        "storage": used.map(|launch| &launch.storage.scheme),
        "bucket": used.map(|launch| &launch.storage.bucket),
        "error": error,
    });
    complain_or_print(&place, error.as_deref());
    if let Ok((launch, runtime)) = &checked
        && is_to_check()
        && let Err(error) = runtime.block_on(store(launch, &place))
    {
        complain(&words_of(&error));
        code = exit_code(&error);
    }
    code
}

/// Whether this program was started only to look whether it could serve.
#[must_use]
pub fn is_to_check() -> bool {
    env::var_os(TRANSPORT_VARIABLE).is_some_and(|transport| transport == CHECK)
}

/// Stores what was found, under the worker's name.
async fn store(launch: &Launch, place: &serde_json::Value) -> Result<()> {
    let client = StorageClient::connect(&launch.storage)?;
    let name = launch.worker.as_deref().unwrap_or("worker");
    let key = format!("{}{name}", checked_prefix(&launch.fleet));
    client.put_object(client.bucket(), &key, place.to_string().into_bytes()).await.map(drop)
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn complain_or_print(place: &serde_json::Value, error: Option<&str>) {
    println!("{place}");
    if let Some(error) = error {
        complain(error);
    }
}

/// Does with an object of the fleet what a worker does with those of jobs.
async fn use_storage(launch: &Launch) -> Result<()> {
    let client = StorageClient::connect(&launch.storage)?;
    let bucket = client.bucket();
    let folder = format!("{FLEETS}{}/check/", launch.fleet);
    let key = format!("{folder}{}", new_uuid());
    client.put_object(bucket, &key, CONTENT.to_vec()).await?;
    let read = client.get_object(bucket, &key).await?;
    let listed = client.list_objects(bucket, &folder).await?;
    client.delete_object(bucket, &key).await?;
    let faulty = |what: &str| {
        let problem = format!("the storage `{}` {what}", launch.storage.scheme);
        Err(Error::new(ErrorKind::Damaged, problem))
    };
    if read.as_ref() != CONTENT {
        return faulty("gave other bytes back than were stored");
    }
    if !listed.iter().any(|object| object.key == key) {
        return faulty("did not list an object that was stored");
    }
    Ok(())
}

/// The C library that runs this program, by name and version.
#[expect(unsafe_code, reason = "the C library says its version in no other way")]
fn c_library() -> Option<String> {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: it returns a string that lives as long as the process.
        let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
        Some(format!("glibc {}", version.to_string_lossy()))
    }
    #[cfg(not(target_env = "gnu"))]
    None
}
