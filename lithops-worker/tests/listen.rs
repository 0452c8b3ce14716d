//! `lithops-worker serve`: a worker that its client connects to, and that serves its own client alone.

mod common;
mod listen {
    pub(crate) mod worker;
}

use std::{fs, path::Path, sync::Arc, thread, time::Duration};

use common::{calls::calls, process::until_written};
use futures_util::StreamExt;
use listen::worker::ListeningWorker;
use lithops_core::{
    compute::{EventKind, ExitReason, Invocation},
    protocol::{SignKey, Tag},
};

lithops::test_worker!();

#[lithops::function]
fn square(x: u64) -> u64 {
    x * x
}

/// Writes a file, waits for another one with `.go` at its end.
#[lithops::function]
fn wait_for(path: String) {
    fs::write(&path, "begun\n").expect("written");
    while !Path::new(&format!("{path}.go")).exists() {
        thread::sleep(Duration::from_millis(5));
    }
}

/// Takes events in until this many calls are reported; gives their numbers and how each has ended, and whether the worker said
/// that it leaves.
async fn outcomes(invocation: &mut Invocation, count: usize) -> (Vec<(u64, Tag)>, bool) {
    let (mut outcomes, mut leaves) = (Vec::new(), false);
    while outcomes.len() < count {
        match invocation.events.next().await.expect("an event").expect("no error").kind {
            EventKind::Report(report) => {
                let first = report.header.run.first;
                outcomes.extend((0..report.len()).map(|index| (first + index as u64, report.tag(index))));
            }
            EventKind::Leaving => leaves = true,
            EventKind::Exited(reason) => panic!("it has ended: {reason:?}"),
            _ => {}
        }
    }
    (outcomes, leaves)
}

async fn end(invocation: &mut Invocation) -> ExitReason {
    loop {
        let event = invocation.events.next().await.expect("an end").expect("no error");
        if let EventKind::Exited(reason) = event.kind {
            return reason;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_serves_its_client_and_ends_well_when_the_client_says_that_it_is_done() {
    let worker = ListeningWorker::start(&[]);
    let channel = worker.connect(&worker.key).await.expect("let in");
    let mut invocation =
        channel.invoke(&calls(square, 2, 0, &[2, 3, 4], None)).expect("encoded").expect("it lives");
    let (mut reported, _) = outcomes(&mut invocation, 3).await;
    reported.sort_unstable_by_key(|(call, _)| *call);
    assert_eq!(reported, [(0, Tag::Ok), (1, Tag::Ok), (2, Tag::Ok)]);
    drop((invocation, channel));
    assert_eq!(worker.process.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_is_served_and_the_client_still_is() {
    let worker = ListeningWorker::start(&[]);
    let stranger = SignKey::generate().expect("a key");
    let refused = worker.connect(&stranger).await.expect_err("it is refused");
    assert!(refused.to_string().contains("does not take this client for its own"), "{refused}");
    // A client that sends nothing does not keep others waiting.
    let _silent = std::net::TcpStream::connect(&worker.process.address).expect("a connection");
    let channel = worker.connect(&worker.key).await.expect("let in");
    let mut invocation =
        channel.invoke(&calls(square, 1, 0, &[2], None)).expect("encoded").expect("it lives");
    outcomes(&mut invocation, 1).await;
    // The second one does not even get a connection.
    assert!(worker.connect(&worker.key).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_ends_the_worker_so_that_its_platform_may_start_another() {
    let worker = ListeningWorker::start(&[]);
    let begun = worker.folder().join("begun").display().to_string();
    let (channel, cut) = worker.connected(&worker.key).await.expect("let in");
    let invocation = channel.invoke(&calls(wait_for, 1, 0, std::slice::from_ref(&begun), None));
    let mut invocation = invocation.expect("encoded").expect("it lives");
    until_written(Path::new(&begun)).await;
    cut.abort();
    assert!(matches!(end(&mut invocation).await, ExitReason::Lost(_)));
    assert_eq!(worker.process.end().await, Some(75));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_leave_says_so_hands_back_and_ends_when_its_calls_have() {
    let worker = ListeningWorker::start(&[]);
    let begun = worker.folder().join("begun").display().to_string();
    let never = "/no such folder/at all".to_owned();
    let channel = worker.connect(&worker.key).await.expect("let in");
    let invocation = channel.invoke(&calls(wait_for, 1, 0, &[begun.clone(), never], None));
    let mut invocation = invocation.expect("encoded").expect("it lives");
    until_written(Path::new(&begun)).await;
    worker.process.terminate();
    let (reported, leaves) = outcomes(&mut invocation, 1).await;
    assert_eq!((reported, leaves), (vec![(1, Tag::Unstarted)], true));
    assert!(channel.leaves());
    fs::write(format!("{begun}.go"), "").expect("written");
    assert_eq!(outcomes(&mut invocation, 1).await.0, [(0, Tag::Ok)]);
    assert!(matches!(end(&mut invocation).await, ExitReason::Lost(_)));
    assert_eq!(worker.process.end().await, Some(75));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_a_client_ends() {
    let worker = ListeningWorker::start(&[("orphan", "0.2")]);
    assert_eq!(worker.process.end().await, Some(0));
    let worker = ListeningWorker::start(&[]);
    worker.process.terminate();
    assert_eq!(worker.process.end().await, Some(75));
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_share_a_worker() {
    let worker = ListeningWorker::start(&[]);
    let channel = worker.connect(&worker.key).await.expect("let in");
    let jobs = (1..=4_u64).map(|number| {
        let channel = Arc::clone(&channel);
        async move {
            let inputs: Vec<u64> = (0..100 * number).collect();
            let mut invocation =
                channel.invoke(&calls(square, 2, 0, &inputs, None)).expect("encoded").expect("it lives");
            outcomes(&mut invocation, inputs.len()).await.0.len()
        }
    });
    assert_eq!(futures_util::future::join_all(jobs).await, [100, 200, 300, 400]);
}
