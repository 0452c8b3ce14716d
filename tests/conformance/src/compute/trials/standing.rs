//! What a backend is, and says of itself.

use lithops_core::{
    compute::{CancelLevel, InvocationId, RuntimeId, RuntimeSpec, Severity},
    error::{ErrorKind, Result},
};

use super::super::Subject;

pub(in crate::compute) async fn it_is_registered_under_its_one_word(subject: Subject) {
    let (descriptor, info) = (subject.descriptor, subject.backend.info());
    assert_eq!((descriptor.scheme, info.scheme), (&*subject.name, &*subject.name));
    assert!(!descriptor.summary.is_empty() && !descriptor.package.is_empty(), "{descriptor:?}");
    assert!(!descriptor.version.is_empty() && !info.location.is_empty(), "{info:?}");
    let planned = descriptor.capabilities(&subject.config);
    let planned = planned.unwrap_or_else(|error| panic!("its capabilities: {error:?}"));
    let capabilities = subject.capabilities();
    assert_eq!(planned.granularity, capabilities.granularity, "what is planned with is what is there");
    assert_eq!((planned.feed, planned.reports), (capabilities.feed, capabilities.reports));
    assert_eq!(planned.payload_limit, capabilities.payload_limit);
    assert!((1..=capabilities.max_worker_processes).contains(&capabilities.default_worker_processes));
    assert!((1..=capabilities.max_workers).contains(&capabilities.default_max_workers));
    assert!(capabilities.max_worker_processes >= 2);
    assert!(capabilities.payload_limit != Some(0) && capabilities.worker_cpus > 0.0);
}

pub(in crate::compute) async fn what_it_cannot_do_is_unsupported(subject: Subject) {
    let capabilities = subject.capabilities();
    if !capabilities.runtimes {
        let spec = RuntimeSpec::new("conformance", "/proc/self/exe".into());
        unsupported("build_runtime", subject.backend.build_runtime(&spec).await);
        unsupported("deploy_runtime", subject.backend.deploy_runtime(&spec).await);
        unsupported("delete_runtime", subject.backend.delete_runtime(&RuntimeId("none".into())).await);
    }
    if capabilities.cancel == CancelLevel::None {
        let none = InvocationId("none".into());
        unsupported("cancel", subject.backend.cancel(&none).await);
    }
}

#[track_caller]
fn unsupported<T: std::fmt::Debug>(what: &str, answer: Result<T>) {
    match answer {
        Ok(answer) => panic!("`{what}` is not among its capabilities, and it answers {answer:?}"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported, "`{what}`: {error}"),
    }
}

pub(in crate::compute) async fn check_says_what_it_found(subject: Subject) {
    let checks = subject.backend.check().await;
    assert!(!checks.is_empty(), "there is something to say of every backend");
    for check in checks {
        assert!(!check.finding.is_empty(), "{check:?}");
        let is_bad = check.severity != Severity::Fine;
        assert!(!is_bad || check.remedy.as_ref().is_some_and(|remedy| !remedy.is_empty()), "{check:?}");
    }
}

pub(in crate::compute) async fn deploying_twice_changes_nothing(subject: Subject) {
    let backend = &subject.backend;
    let program = std::env::current_exe().unwrap_or_else(|error| panic!("this program: {error}"));
    let mut spec = RuntimeSpec::new("lithops-conformance", program);
    // Of a size of its own: other trials use the runtime of the usual size, or deploy it, at this moment.
    spec.memory = Some(subject.capabilities().worker_memory / 2);
    let works = |answer: Result<_>| answer.unwrap_or_else(|error| panic!("{error:?}"));
    let first = works(backend.deploy_runtime(&spec).await);
    let second = works(backend.deploy_runtime(&spec).await);
    assert_eq!(first.id, second.id);
    let listed = backend.list_runtimes().await.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(listed.iter().filter(|runtime| runtime.id == first.id).count(), 1, "{listed:?}");
    backend.delete_runtime(&first.id).await.unwrap_or_else(|error| panic!("{error:?}"));
    let listed = backend.list_runtimes().await.unwrap_or_else(|error| panic!("{error:?}"));
    assert!(listed.iter().all(|runtime| runtime.id != first.id), "{listed:?}");
}
