//! Tests of a job of the pool.

use lithops_core::{
    id::{ActivationId, JobId},
    protocol::{PayloadsBuilder, Run},
};

use super::*;

fn job(at_most_once: bool, calls: u32, bytes: usize) -> PoolJob {
    let id = JobId::generate();
    let mut job = PoolJob::new(
        JobSpec {
            job: id,
            function: "f".into(),
            worker_processes: 4,
            timeout: None,
            at_most_once,
            env: Vec::new(),
            shared: Vec::new(),
            stored_shared: Vec::new(),
            inline_limit: None,
            storage: None,
            log_limit: 1 << 20,
            live_logs: false,
            durable: None,
            depth: 0,
            parent: None,
        },
        Bytes::default(),
        JobOwner::Client,
    );
    let mut arguments = PayloadsBuilder::default();
    for _ in 0..calls {
        arguments.data().extend(std::iter::repeat_n(0, bytes));
        arguments.end_value();
    }
    let run = Run {
        job: id,
        activation: ActivationId(0),
        offset: 0,
        chunksize: 8,
        attempt: 1,
        first: 0,
        count: calls,
    };
    job.push_back(Calls { run, batch: 0, queued_at: 0, arguments: arguments.finish() });
    job
}

#[test]
fn batches_follow_the_pace_and_share_what_there_is() {
    let mut job = job(false, 10_000, 1);
    assert_eq!(job.take_batch().expect("calls").run.count, 1, "nothing is known yet");
    (0..50).for_each(|_| job.measured(1, Duration::from_nanos(300)));
    assert_eq!(job.take_batch().expect("calls").run.count, MAX_BATCH);
    (0..50).for_each(|_| job.measured(1, Duration::from_micros(10)));
    assert!((90..=110).contains(&job.take_batch().expect("calls").run.count), "about a millisecond");
    (0..50).for_each(|_| job.measured(1, Duration::from_millis(5)));
    assert_eq!(job.take_batch().expect("calls").run.count, 1);
    (0..50).for_each(|_| job.measured(1, Duration::from_nanos(300)));
    while job.queued > 40 {
        job.take_batch();
    }
    assert!(job.take_batch().expect("calls").run.count <= 10, "a quarter of what is left");
}

#[test]
fn batches_are_bounded_in_bytes_and_never_made_of_calls_that_may_run_once() {
    let mut large = job(false, 100, 100_000);
    (0..50).for_each(|_| large.measured(1, Duration::from_nanos(300)));
    assert_eq!(large.take_batch().expect("calls").run.count, 2);
    let mut once = job(true, 100, 1);
    (0..50).for_each(|_| once.measured(1, Duration::from_nanos(300)));
    assert_eq!(once.take_batch().expect("calls").run.count, 1);
}

#[test]
fn cancelled_calls_are_neither_queued_nor_put_back() {
    let mut job = job(false, 10, 1);
    let given = job.take_batch().expect("a call");
    job.cancel(&[(0, 3), (5, 10)]);
    assert_eq!(job.queued, 2);
    job.push_front(given);
    let left: Vec<_> = std::iter::from_fn(|| job.take_batch()).map(|calls| calls.run.first).collect();
    assert_eq!(left, [3, 4]);
}

#[test]
fn of_a_chunk_whose_calls_were_cancelled_before_they_came_the_rest_is_reported() {
    use lithops_core::{
        protocol::{DurableSpec, failed_together},
        storage::Locator,
    };

    let mut job = job(false, 0, 0);
    let mut spec = (*job.spec).clone();
    spec.durable = Some(DurableSpec { calls: 4, chunksize: 4, failures_are_final: true });
    spec.storage = Some(Locator::new("memory", "bucket"));
    job = PoolJob::new(spec, Bytes::default(), JobOwner::Client);
    job.cancel(&[(1, 2)]);
    let mut arguments = PayloadsBuilder::default();
    (0..4).for_each(|_| arguments.end_value());
    let (id, activation) = (job.spec.job, ActivationId(0));
    let run = Run { job: id, activation, offset: 0, chunksize: 4, attempt: 1, first: 0, count: 4 };
    job.given(&Calls { run, batch: 0, queued_at: 0, arguments: arguments.finish() });
    let commits = job.commits.as_mut().expect("it is durable");
    let mut passed_on = 0;
    for (first, end) in [(0, 1), (2, 4)] {
        for report in failed_together(id, vec![(first, end)], b"e") {
            let decided = commits.ended(&report);
            assert!(decided.store.is_empty(), "it is no whole chunk");
            passed_on += decided.pass_on.iter().map(Report::len).sum::<usize>();
        }
    }
    assert_eq!(passed_on, 3, "the client commits the chunk");
}
