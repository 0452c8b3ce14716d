//! `lithops doctor --live`: one instance is started, tries the storage as a worker would, and says what it has found.

use std::time::{Duration, Instant};

use lithops_core::{
    compute::{Check, Scaled, Severity, WorkerEnd},
    error::{Error, ErrorKind, Result},
    fleet::checked_prefix,
    id::new_uuid,
    process::CHECK,
    protocol::{Launch, SignKey},
    storage::{StorageClient, own_keys::FLEETS},
};
use serde::Deserialize;
use tokio::time::sleep;

use super::findings::{bad, fine, problem};
use crate::{
    AwsEc2Backend,
    api::failure,
    console, fleet,
    fleet::{Ec2Fleet, Start},
    instance::PENDING,
};

const PAUSE: Duration = Duration::from_secs(1);
/// How long an instance may take to end itself.
const ITS_END: Duration = Duration::from_secs(120);

/// What `lithops-worker check` stores.
#[derive(Debug, Deserialize)]
struct Place {
    lithops: String,
    machine: String,
    c_library: Option<String>,
    cpus: Option<usize>,
    memory_limit_bytes: Option<u64>,
}

/// What the instance has said, and how long that took; or why it has said nothing.
enum Heard {
    Said { id: String, place: Place, after: Duration },
    Nothing(Error),
}

/// How an instance has ended that had nothing more to do.
enum End {
    /// By itself, for good: with the reason that EC2 says.
    Itself(String),
    /// It is there in this state: its disks cost at least.
    Not(String),
}

/// Starts an instance, and waits for what it finds. Nothing of it is left.
pub(crate) async fn check_live(backend: &AwsEc2Backend) -> Vec<Check> {
    match tried(backend).await {
        Ok((Heard::Said { id, place, after }, end)) => {
            let mut found = said(backend, &id, &place, after);
            found.extend(end.map(|end| told(&id, &end)));
            found
        }
        Ok((Heard::Nothing(error), _)) | Err(error) => vec![bad(&error)],
    }
}

async fn tried(backend: &AwsEc2Backend) -> Result<(Heard, Option<End>)> {
    if backend.config.instance_role.is_none() {
        return Err(fleet::no_role());
    }
    let Some((storage, locator)) = &backend.storage else {
        return Err(Error::new(ErrorKind::ConfigInvalid, "there is no storage for an instance to try"));
    };
    let launch = Launch::new(&new_uuid().to_string(), SignKey::generate()?.verify_key(), locator.clone());
    let client = crate::backend::client_name();
    let start = Start {
        ec2: backend.ec2().await?,
        config: &backend.config,
        program: backend.stored().await?,
        storage,
        place: backend.place().await?,
        client: &client,
        transport: CHECK,
    };
    let mut fleet = Ec2Fleet::new(&launch, &backend.config, start.place);
    let heard = listen(&mut fleet, start, &launch.fleet).await;
    let end = match &heard {
        Ok(Heard::Said { id, .. }) => Some(end(start, &launch.fleet, id).await),
        _ => None,
    };
    // Also after a failure: the instance costs for as long as it lives.
    let ended = fleet.end(start.ec2).await;
    let left = storage.list_keys(storage.bucket(), &format!("{FLEETS}{}/", launch.fleet)).await?;
    if !left.is_empty() {
        storage.delete_objects(storage.bucket(), left).await?;
    }
    ended?;
    Ok((heard?, end.transpose()?))
}

/// Waits until the instance, which has nothing more to do, ends itself.
async fn end(start: Start<'_>, fleet: &str, id: &str) -> Result<End> {
    let begun = Instant::now();
    loop {
        let described = start.ec2.instances(Some(fleet)).await;
        let described = described.map_err(|error| failure::of(error, "look at the instance"))?;
        let Some(instance) = described.iter().find(|one| one.instance_id == id) else {
            return Ok(End::Itself("EC2 has forgotten it".to_owned()));
        };
        match instance.state() {
            "shutting-down" | "terminated" => return Ok(End::Itself(instance.reason().0.to_owned())),
            state if instance.is_stopped() || begun.elapsed() > ITS_END => {
                return Ok(End::Not(state.to_owned()));
            }
            _ => sleep(PAUSE).await,
        }
    }
}

/// What its end means for jobs.
fn told(id: &str, end: &End) -> Check {
    match end {
        End::Itself(reason) => fine(format!("the instance {id} has ended itself for good: {reason}")),
        End::Not(state) => problem(
            format!("the instance {id} had nothing more to do and is {state}: the doctor has ended it"),
            Severity::Error,
            "instances of jobs would cost until their client ends them: look at the image's `shutdown`, and at the console",
        ),
    }
}

async fn listen(fleet: &mut Ec2Fleet, start: Start<'_>, name: &str) -> Result<Heard> {
    let begun = Instant::now();
    let limit = PENDING + start.config.start_timeout;
    let (mut last, mut waits) = (None, String::new());
    loop {
        if let Some((id, place)) = answer(start.storage, name).await? {
            return Ok(Heard::Said { id, place, after: begun.elapsed() });
        }
        // An instance that has ended is not replaced.
        let wanted = usize::from(last.is_none());
        let Scaled { live, waiting, ended, .. } = fleet.scale(wanted, start).await?;
        last = live.into_iter().next().or(last);
        if let Some(waiting) = waiting.into_iter().next() {
            waits = format!("; it waits: {}", waiting.why);
        }
        if let Some((id, end)) = ended.into_iter().next() {
            // What it has said may have come meanwhile.
            if let Some((id, place)) = answer(start.storage, name).await? {
                return Ok(Heard::Said { id, place, after: begun.elapsed() });
            }
            return Ok(Heard::Nothing(silent(&id, &end, &console::of(start.ec2, &id).await)));
        }
        if begun.elapsed() > limit {
            let what = last.map_or_else(|| "no instance".to_owned(), |id| format!("the instance {id}"));
            let problem = format!("{what} has answered in {} s{waits}", limit.as_secs());
            return Ok(Heard::Nothing(Error::new(ErrorKind::Timeout, problem)));
        }
        sleep(PAUSE).await;
    }
}

/// What the instance has stored, once it has.
async fn answer(storage: &StorageClient, fleet: &str) -> Result<Option<(String, Place)>> {
    let prefix = checked_prefix(fleet);
    let Some(key) = storage.list_keys(storage.bucket(), &prefix).await?.into_iter().next() else {
        return Ok(None);
    };
    let bytes = storage.get_object(storage.bucket(), &key).await?;
    let place = serde_json::from_slice(&bytes).map_err(|error| {
        Error::new(
            ErrorKind::Damaged,
            format!("what the instance has stored in `{key}` cannot be read: {error}"),
        )
    })?;
    Ok(Some((key[prefix.len()..].to_owned(), place)))
}

fn silent(id: &str, end: &WorkerEnd, console: &str) -> Error {
    let words = match end {
        WorkerEnd::Lost(words) | WorkerEnd::Refused(words) => words.as_str(),
        WorkerEnd::Evicted => "EC2 has taken it back",
        WorkerEnd::OutOfMemory | WorkerEnd::Finished => "its worker could not use the storage",
    };
    let problem = format!("the instance {id} ended without an answer: {words}; its console: {console}");
    Error::new(ErrorKind::WorkerLost, problem)
        .with_hint("may the instance profile read and write the bucket, does a route lead there, and has the image `aws`?")
}

/// What the answer means for jobs.
fn said(backend: &AwsEc2Backend, id: &str, place: &Place, after: Duration) -> Vec<Check> {
    let Place { lithops, machine, c_library, cpus, memory_limit_bytes } = place;
    let config = &backend.config;
    let library = c_library.as_deref().unwrap_or("another C library than glibc");
    let cpus_seen = cpus.map_or_else(|| "?".to_owned(), |cpus| cpus.to_string());
    // A control group without a limit says a number that no machine has.
    let memory = memory_limit_bytes
        .filter(|bytes| bytes >> 50 == 0)
        .map_or_else(String::new, |bytes| format!(", {} MiB", bytes >> 20));
    let mut found = vec![fine(format!(
        "the instance {id} has opened the bucket, and put, read, listed and deleted an object {:.0} s after it was asked for: \
         lithops {lithops}, {machine}, {library}, {cpus_seen} CPUs{memory}",
        after.as_secs_f64()
    ))];
    let counted = config.capabilities.worker_cpus as usize;
    if config.access.endpoint.is_none() && cpus.is_some_and(|cpus| cpus != counted) {
        found.push(problem(
            format!("the instance has {cpus_seen} CPUs, and {counted} are counted with"),
            Severity::Warning,
            "write them: `aws_ec2: {capabilities: {vcpus: {count: ..}}}`",
        ));
    }
    let planned = config.capabilities.startup.cold;
    if after > 2 * planned {
        found.push(problem(
            format!("plans count with {:.0} s until an instance works", planned.as_secs_f64()),
            Severity::Warning,
            "write what it takes: `aws_ec2: {capabilities: {startup: {cold: ..}}}`",
        ));
    }
    found
}
