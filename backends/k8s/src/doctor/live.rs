//! `lithops doctor --live`: one pod is started, tries the storage as a worker would, and says what it has found.

use std::time::{Duration, Instant};

use lithops_core::{
    compute::{Check, Scaled, Severity, WorkerEnd},
    error::{Error, ErrorKind, Result},
    fleet::CheckedPlace,
    id::new_uuid,
    protocol::{Launch, SignKey},
    storage::StorageClient,
};
use lithops_kubernetes::checks::{bad, fine};
use tokio::time::sleep;

use crate::{
    K8sBackend,
    backend::client_name,
    fleet::{K8sFleet, Start},
    manifest::Transport,
};

/// How often the cluster and the storage are looked at.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a pod may take. A node may have to pull the image first.
const LIMIT: Duration = Duration::from_secs(300);

/// What the pod has said, and how long that took.
struct Heard {
    worker: String,
    place: CheckedPlace,
    after: Duration,
}

/// Starts a pod, and waits for what it finds. Nothing of it is left.
pub(crate) async fn check_live(backend: &K8sBackend) -> Vec<Check> {
    match tried(backend).await {
        Ok(heard) => said(backend, &heard),
        Err(error) => vec![bad(&error)],
    }
}

async fn tried(backend: &K8sBackend) -> Result<Heard> {
    let Some((storage, locator)) = &backend.storage else {
        return Err(Error::new(ErrorKind::ConfigInvalid, "there is no storage for a pod to try"));
    };
    let (cluster, image) = (backend.cluster().await?, backend.image().await?);
    let launch = Launch::new(&new_uuid().to_string(), SignKey::generate()?.verify_key(), locator.clone());
    let client = client_name();
    let (config, secrets) = (&backend.config, backend.secrets());
    let start = Start { cluster, config, image, secrets, client: &client, transport: Transport::Check };
    let mut fleet = K8sFleet::new(cluster, &launch);
    let heard = listen(&mut fleet, start, storage, &launch.fleet).await;
    // Also after a failure: a Job that failed for the moment would start its pod again.
    let ended = fleet.end(cluster, true).await;
    CheckedPlace::forget(storage, &launch.fleet).await?;
    heard.and_then(|heard| ended.map(|()| heard))
}

async fn listen(
    fleet: &mut K8sFleet,
    start: Start<'_>,
    storage: &StorageClient,
    name: &str,
) -> Result<Heard> {
    let begun = Instant::now();
    let mut waits = String::new();
    loop {
        let Scaled { waiting, ended, .. } = fleet.scale(1, start).await?;
        // Asked for after the pod: one that has ended has stored before what it has to say.
        if let Some((worker, place)) = CheckedPlace::find(storage, name).await? {
            return Ok(Heard { worker, place, after: begun.elapsed() });
        }
        if let Some((worker, end)) = ended.into_iter().next() {
            return Err(silent(&worker, end));
        }
        if let Some(waiting) = waiting.into_iter().next() {
            if waiting.is_hopeless {
                let problem = format!("a pod can never start: {}", waiting.why);
                return Err(Error::new(ErrorKind::WorkerLost, problem));
            }
            waits = format!("; it waits: {}", waiting.why);
        }
        if begun.elapsed() > LIMIT {
            let problem = format!("no pod has answered in {} s{waits}", LIMIT.as_secs());
            return Err(Error::new(ErrorKind::Timeout, problem));
        }
        sleep(PAUSE).await;
    }
}

fn silent(worker: &str, end: WorkerEnd) -> Error {
    let words = match end {
        // The log has what the worker has found before why that is not enough.
        WorkerEnd::Lost(words) | WorkerEnd::Refused(words) => {
            words.lines().last().unwrap_or_default().to_owned()
        }
        WorkerEnd::Evicted => "the cluster has taken it away".to_owned(),
        WorkerEnd::OutOfMemory => "it took more memory than `runtime_memory`".to_owned(),
        WorkerEnd::Finished => {
            "its program is none of lithops: it has ended without having looked".to_owned()
        }
    };
    Error::new(ErrorKind::WorkerLost, format!("the pod {worker} ended without an answer: {words}"))
        .with_hint("may pods reach the address of the storage, and does what opens it lead there?")
}

/// What the answer means for jobs.
fn said(backend: &K8sBackend, heard: &Heard) -> Vec<Check> {
    let Heard { worker, place, after } = heard;
    let pod = &backend.config.pod;
    let mut found = vec![fine(format!(
        "the pod {worker} has opened the bucket, and put, read, listed and deleted an object {:.1} s after it was asked for: \
         {place}",
        after.as_secs_f64()
    ))];
    // A limit range, or a webhook of the cluster, may give less than was asked for.
    if let Some(memory) = place.memory_limit_mib().filter(|memory| *memory < pod.memory) {
        found.push(Check {
            finding: format!("the pod has {memory} MiB, and {} are asked for", pod.memory),
            severity: Severity::Warning,
            remedy: Some("compare `kubectl get limitranges`, and write `runtime_memory` as it allows".into()),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_without_an_answer_is_told_with_its_last_words() {
        let log = "{\"cpus\":2,\"error\":\"no\"}\nlithops worker: cannot reach the storage";
        let error = silent("w", WorkerEnd::Refused(log.to_owned()));
        let wanted = "the pod w ended without an answer: lithops worker: cannot reach the storage";
        assert_eq!(error.message(), wanted);
        let error = silent("w", WorkerEnd::OutOfMemory);
        assert!(error.message().contains("`runtime_memory`"), "{error}");
    }
}
