//! The environment of calls, and secrets that no other process may see.

use super::super::{Subject, functions::*};

const NAME: &str = "LITHOPS_CONFORMANCE_VARIABLE";

pub(in crate::compute) async fn variables_are_set_for_their_job_alone(subject: Subject) {
    let fexec = subject.executor(1).await;
    for value in [Some("one"), None, Some("two")] {
        let job = fexec.map(variable, vec![NAME.to_owned(); 6]).chunksize(6);
        let job = if let Some(value) = value { job.extra_env([(NAME, value)]) } else { job };
        let futures = job.await.unwrap_or_else(|error| panic!("{error:?}"));
        let found = futures.get_result().await.unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(found, vec![value.map(str::to_owned); 6]);
    }
}

/// What opens the storage reaches workers by a way that no list of processes shows.
pub(in crate::compute) async fn secrets_are_in_no_argument_and_no_variable(subject: Subject) {
    let fexec = subject.executor(1).await;
    let storage = lithops_core::storage::descriptor(subject.config.storage());
    let storage = storage.unwrap_or_else(|error| panic!("{error:?}"));
    let credentials = (storage.credentials)(&subject.config).unwrap_or_else(|error| panic!("{error:?}"));
    let mut secrets: Vec<_> = credentials.expose_all().into_iter().map(|(_, secret)| secret).collect();
    // Where the storage needs none, the variables of a job are as secret.
    secrets.push("lithops-conformance-planted-secret".to_owned());
    for secret in secrets {
        let job = fexec.map(is_seen, vec![secret.clone(); 2]).chunksize(2);
        let pulls = subject.capabilities().pull.is_some();
        let job = if pulls { job } else { job.extra_env([("LITHOPS_CONFORMANCE_SECRET", secret)]) };
        let futures = job.await.unwrap_or_else(|error| panic!("{error:?}"));
        let seen = futures.get_result().await.unwrap_or_else(|error| panic!("{error:?}"));
        let seen: Vec<_> = seen.into_iter().flatten().collect();
        assert!(seen.is_empty(), "a secret stands in {seen:?}");
    }
}
