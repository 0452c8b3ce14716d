//! Limits: of what a message holds, and of how many workers may live.

use std::time::Duration;

use lithops_core::{bytes::Bytes, error::ErrorKind};

use super::super::{Subject, functions::*};

/// Where an activation may last no longer, its end is waited for.
pub(in crate::compute) const SHORT: Duration = Duration::from_secs(10);

/// What a backend without a limit is tried with.
const LARGE: u64 = 20 << 20;
/// No trial sends more.
const MOST: u64 = 64 << 20;

async fn comes_back(subject: &Subject, sizes: &[u64]) {
    let fexec = subject.executor(2).await;
    for size in sizes {
        let bytes: Bytes = (0..*size).map(|at| (at % 251) as u8).collect::<Vec<_>>().into();
        let future = fexec.call_async(echo, bytes.clone()).await;
        let future = future.unwrap_or_else(|error| panic!("{size} bytes: {error:?}"));
        let back = future.result().await.unwrap_or_else(|error| panic!("{size} bytes: {error:?}"));
        assert!(*back == *bytes, "{size} bytes came back as others");
    }
}

pub(in crate::compute) async fn values_up_to_the_limit_come_back(subject: Subject) {
    let limit = subject.capabilities().payload_limit.unwrap_or(LARGE).min(MOST);
    comes_back(&subject, &[0, 1, 1000, limit / 2, limit - limit / 20]).await;
}

pub(in crate::compute) async fn values_beyond_the_limit_come_back(subject: Subject) {
    let limit = subject.capabilities().payload_limit.unwrap_or(LARGE).min(MOST);
    comes_back(&subject, &[limit, limit + 1, limit * 3]).await;
}

pub(in crate::compute) async fn more_workers_than_may_live_are_refused_for_now(subject: Subject) {
    let (job, marks) = (subject.job(wait, 1), subject.marks());
    let mut running = Vec::new();
    // The backend was connected to for two workers.
    for number in 0..8 {
        match subject.try_invoke(&job, number, &[marks.folder()]).await {
            Ok(invocation) => running.push(invocation),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::RateLimited, "{error}");
                break;
            }
        }
    }
    marks.set("go").await.unwrap_or_else(|error| panic!("{error:?}"));
    let accepted = running.len();
    let mut throttled = false;
    for mut invocation in running {
        throttled |= invocation.end().await.throttled;
    }
    assert!(accepted < 8 || throttled, "eight workers live, where two may");
    // Whoever asks for more than there may be is served all the same.
    let fexec = subject.executor(2).await;
    let futures = fexec.map(square, 0..40).chunksize(1).await.unwrap_or_else(|error| panic!("{error:?}"));
    futures.get_result().await.unwrap_or_else(|error| panic!("{error:?}"));
}
