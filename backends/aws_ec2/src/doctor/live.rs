//! `lithops doctor --live`: one instance is started, tries the storage as a worker would, and says what it has found.

use std::time::{Duration, Instant};

use lithops_core::{
    compute::{Check, Scaled, Severity, WorkerEnd},
    error::{Error, ErrorKind, Result},
    fleet::CheckedPlace,
    id::new_uuid,
    process::CHECK,
    protocol::{Launch, SignKey},
};
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

/// What the instance has said, and how long that took; or why it has said nothing.
enum Heard {
    Said { id: String, place: CheckedPlace, after: Duration },
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
    CheckedPlace::forget(storage, &launch.fleet).await?;
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
        if let Some((id, place)) = CheckedPlace::find(start.storage, name).await? {
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
            if let Some((id, place)) = CheckedPlace::find(start.storage, name).await? {
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
fn said(backend: &AwsEc2Backend, id: &str, place: &CheckedPlace, after: Duration) -> Vec<Check> {
    let config = &backend.config;
    let mut found = vec![fine(format!(
        "the instance {id} has opened the bucket, and put, read, listed and deleted an object {:.0} s after it was asked for: \
         {place}",
        after.as_secs_f64()
    ))];
    let counted = config.capabilities.worker_cpus as usize;
    if let Some(cpus) = place.cpus.filter(|cpus| config.access.endpoint.is_none() && *cpus != counted) {
        found.push(problem(
            format!("the instance has {cpus} CPUs, and {counted} are counted with"),
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
