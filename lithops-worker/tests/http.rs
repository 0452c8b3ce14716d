//! `lithops-worker http`: a worker that is given its calls by HTTP requests, by the client that backends use.

mod common;
mod http {
    pub(crate) mod functions;
    pub(crate) mod request;
    pub(crate) mod worker;
}

use std::{fs, path::Path, time::Duration};

use common::process::until_written;
use http::{
    functions::{nothing_more, pid_of_call, report_then_wait, square, wait_for},
    request::{Heard, Tried, tried},
    worker::Worker,
};
use lithops_core::{
    compute::{Answer, ExitReason},
    protocol::{FrameKind, Tag},
};

lithops::test_worker!();

const FINISHED: Answer = Answer::Said(ExitReason::Finished);

fn refused_for_now(answer: &Answer) -> bool {
    matches!(answer, Answer::Silent(ExitReason::Throttled(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn activations_run_one_after_the_other_over_both_versions_of_http() {
    let worker = Worker::start(&[]).await;
    for http2 in [true, false] {
        let client = worker.client(http2);
        for first in [0, 10] {
            let activation = worker.activation(square, 2, first, &[2, 3, 4]).await;
            let Heard { answer, mut outcomes, started } = Heard::all(&client, activation).await;
            outcomes.sort_by_key(|outcome| outcome.call);
            assert_eq!((answer, started), (FINISHED, true));
            let values: Vec<u64> = outcomes.iter().map(|outcome| outcome.value()).collect();
            assert_eq!(values, [4, 9, 16], "HTTP/2: {http2}");
            assert!(outcomes.iter().zip(first..).all(|(outcome, call)| outcome.call == call), "{outcomes:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_serves_by_itself_is_not_fetched() {
    let worker = Worker::of_this_program().await;
    // The program is not in the storage.
    fs::remove_dir_all(worker.folder().join("storage/lithops.programs")).expect("it was stored");
    let activation = worker.activation(square, 1, 0, &[5]).await;
    let heard = Heard::all(&worker.client(true), activation).await;
    assert_eq!(heard.answer, FINISHED);
    assert_eq!(heard.outcomes[0].value::<u64>(), 25);
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_come_while_other_calls_run_and_a_second_activation_is_refused_meanwhile() {
    let worker = Worker::start(&[]).await;
    let client = worker.client(true);
    let path = worker.folder().join("go").display().to_string();
    let (free, waits) = (String::new(), path.clone());
    let activation = worker.activation(report_then_wait, 1, 0, &[free, waits]).await;
    let mut running = Heard::begin(&client, activation);
    running.outcomes(1).await;
    let other = worker.activation(square, 1, 0, &[2]).await;
    let refused = Heard::all(&worker.client(false), other).await;
    assert!(refused_for_now(&refused.answer) && !refused.started, "{refused:?}");
    fs::write(&path, "").expect("written");
    let heard = running.end().await;
    assert_eq!((heard.answer, heard.outcomes.len()), (FINISHED, 2));
    // The turn is free as soon as the end is told.
    let next = worker.activation(square, 1, 0, &[2]).await;
    assert_eq!(Heard::all(&client, next).await.answer, FINISHED);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calls_of_a_client_that_goes_are_stopped_and_then_the_next_activation_begins() {
    let worker = Worker::start(&[]).await;
    for http2 in [true, false] {
        let client = worker.client(http2);
        let begun = worker.folder().join(format!("begun-{http2}")).display().to_string();
        let activation = worker.activation(wait_for, 1, 0, std::slice::from_ref(&begun)).await;
        let running = Heard::begin(&client, activation);
        let pid = until_written(Path::new(&begun)).await;
        drop(running);
        // While it stops its calls it is busy, and does not run two activations at once.
        let next = loop {
            let next = worker.activation(pid_of_call, 1, 0, &[0]).await;
            let heard = Heard::all(&client, next).await;
            if !refused_for_now(&heard.answer) {
                break heard;
            }
        };
        assert_eq!(next.answer, FINISHED);
        assert!(!is_alive(&pid), "the call's process {pid} lives, HTTP/2: {http2}");
        assert!(!fs::exists(format!("{begun}.ended")).expect("a folder"), "the call has gone on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_end_hands_back_what_has_not_begun_and_ends_when_its_calls_have() {
    let worker = Worker::start(&[("LITHOPS_GRACE", "600")]).await;
    let client = worker.client(true);
    let begun = worker.folder().join("begun").display().to_string();
    let (first, never) = (begun.clone(), nothing_more());
    let activation = worker.activation(wait_for, 1, 0, &[first, never]).await;
    let mut running = Heard::begin(&client, activation);
    until_written(Path::new(&begun)).await;
    worker.process.terminate();
    running.outcomes(1).await;
    let other = worker.activation(square, 1, 0, &[2]).await;
    let refused = Heard::all(&worker.client(true), other).await;
    assert!(refused_for_now(&refused.answer), "{refused:?}");
    fs::write(format!("{begun}.go"), "").expect("written");
    let heard = running.end().await;
    assert_eq!(heard.answer, FINISHED);
    let tags: Vec<_> = heard.outcomes.iter().map(|outcome| (outcome.call, outcome.tag)).collect();
    assert_eq!(tags, [(1, Tag::Unstarted), (0, Tag::Ok)]);
    assert_eq!(worker.process.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_outlast_the_grace_are_given_to_another_worker() {
    let worker = Worker::start(&[("LITHOPS_GRACE", "0")]).await;
    let begun = worker.folder().join("begun").display().to_string();
    let activation = worker.activation(wait_for, 1, 0, std::slice::from_ref(&begun)).await;
    let client = worker.client(true);
    let running = Heard::begin(&client, activation);
    until_written(Path::new(&begun)).await;
    worker.process.terminate();
    let heard = running.end().await;
    assert_eq!(heard.answer, FINISHED);
    assert_eq!(heard.outcomes[0].tag, Tag::Lost);
    assert_eq!(worker.process.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_outlast_the_deadline_are_ended_and_reported() {
    let worker = Worker::start(&[]).await;
    let begun = worker.folder().join("begun").display().to_string();
    let never = nothing_more();
    let activation =
        worker.activation_within(wait_for, 1, 0, &[begun, never], Some(Duration::from_secs(1))).await;
    let heard = Heard::all(&worker.client(true), activation).await;
    assert_eq!(heard.answer, FINISHED);
    let mut tags: Vec<_> = heard.outcomes.iter().map(|outcome| (outcome.call, outcome.tag)).collect();
    tags.sort_by_key(|(call, _)| *call);
    // On a busy machine the first has begun so late that it is to be tried again.
    let [(0, Tag::Failed | Tag::Lost), (1, Tag::Unstarted)] = tags[..] else { panic!("{tags:?}") };
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stands_still_is_lost_and_one_that_works_in_silence_is_not() {
    let worker = Worker::start(&[]).await;
    let begun = worker.folder().join("begun").display().to_string();
    let mut activation = worker.frames(wait_for, 1, 0, std::slice::from_ref(&begun)).await;
    activation.limits.heartbeat = Duration::from_millis(20);
    let (mut frames, status) = worker.post(&activation).await;
    assert_eq!(status, 200);
    let kinds = [frames.next().await, frames.next().await, frames.next().await];
    assert_eq!(kinds, [FrameKind::Hello, FrameKind::Heartbeat, FrameKind::Heartbeat]);
    drop(frames);
    let client = worker.client(true);
    let begun = worker.folder().join("begun again").display().to_string();
    let mut activation;
    let heard = loop {
        activation = worker.frames(wait_for, 1, 0, std::slice::from_ref(&begun)).await;
        activation.limits.heartbeat = Duration::from_millis(20);
        activation.limits.silence = Duration::from_secs(2);
        let running = Heard::begin(&client, activation.encode());
        match running.started_or_refused().await {
            Some(running) => break running,
            None => continue,
        }
    };
    until_written(Path::new(&begun)).await;
    worker.stop();
    let heard = heard.end().await;
    worker.go_on();
    let Answer::Said(ExitReason::Lost(words)) = heard.answer else { panic!("{heard:?}") };
    assert!(words.contains("has said nothing for 2s"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_post_with_the_frames_of_a_request_begins_an_activation() {
    let worker = Worker::start(&[]).await;
    let cases = [
        Tried { method: "GET", path: "/v1/alive", body: "", status: 200, says: "lithops-worker/" },
        Tried { method: "POST", path: "/v1/alive", body: "", status: 405, says: "use GET" },
        Tried { method: "GET", path: "/v1/activation", body: "", status: 405, says: "use POST" },
        Tried { method: "PUT", path: "/v1/activation", body: "", status: 405, says: "use POST" },
        Tried { method: "GET", path: "/", body: "", status: 404, says: "POST /v1/activation" },
        Tried { method: "POST", path: "/v1/activation", body: "", status: 400, says: "was sent nothing" },
        Tried { method: "POST", path: "/v1/activation", body: "what is this?", status: 400, says: "" },
    ];
    for case in cases {
        tried(&worker, &case).await;
    }
    // None of them is in the way of the next.
    let activation = worker.activation(pid_of_call, 1, 0, &[0]).await;
    assert_eq!(Heard::all(&worker.client(false), activation).await.answer, FINISHED);
}

fn is_alive(pid: &str) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = state.rsplit_once(") ").map(|(_, rest)| rest.chars().next().unwrap_or('X'));
    state.is_some_and(|state| state != 'Z' && state != 'X')
}
