//! Tests of the chunks that a worker commits.

use std::time::Duration;

use lithops_core::{
    id::{ActivationId, JobId},
    protocol::{HEADER_LEN, PayloadsBuilder, ReportBuilder, ReportHeader, Run},
    storage::Locator,
};

use super::*;

fn run(first: u64, count: u32) -> Run {
    let job = JobId::from_bytes([3; 16]);
    Run { job, activation: ActivationId(0), offset: 0, chunksize: 4, attempt: 1, first, count }
}

fn calls(first: u64, count: u32) -> Calls {
    let mut arguments = PayloadsBuilder::default();
    (0..count).for_each(|_| arguments.end_value());
    Calls { run: run(first, count), batch: 0, queued_at: 0, arguments: arguments.finish() }
}

fn report(first: u64, tags: &[Tag]) -> Report {
    let mut builder = ReportBuilder::default();
    tags.iter().for_each(|tag| builder.end_call(*tag, 1, 2));
    let header = ReportHeader {
        run: run(first, u32::try_from(tags.len()).expect("few")),
        batch: 0,
        batch_done: true,
        stored: false,
        pid: 1,
        queued_at: 0,
        cpu: Duration::ZERO,
        peak_memory: 0,
        delay: Duration::ZERO,
    };
    let mut frame = Vec::new();
    builder.drain_into(&header, &mut frame);
    Report::read(&bytes::Bytes::from(frame).slice(HEADER_LEN..)).expect("it was just written")
}

/// Ten calls in chunks of four.
fn commits(failures_are_final: bool) -> ChunkCommits {
    let spec = JobSpec {
        job: JobId::from_bytes([3; 16]),
        function: "f".into(),
        worker_processes: 1,
        timeout: None,
        at_most_once: false,
        env: Vec::new(),
        shared: Vec::new(),
        stored_shared: Vec::new(),
        inline_limit: None,
        storage: Some(Locator::new("memory", "bucket")),
        log_limit: 0,
        live_logs: false,
        depth: 0,
        parent: None,
        durable: Some(DurableSpec { calls: 10, chunksize: 4, failures_are_final }),
    };
    ChunkCommits::of(&spec).expect("it is durable")
}

fn passed_on(decided: &Decision) -> Vec<(u64, u32)> {
    decided.pass_on.iter().map(|report| (report.header.run.first, report.header.run.count)).collect()
}

#[test]
fn a_chunk_that_ends_here_is_stored_here_whatever_reports_it_comes_in() {
    let mut commits = commits(false);
    commits.given(&calls(0, 10));
    let decided = commits.ended(&report(2, &[Tag::Ok; 5]));
    assert!(decided.pass_on.is_empty() && decided.store.is_empty());
    let decided = commits.ended(&report(0, &[Tag::Ok; 2]));
    assert_eq!(decided.store.iter().map(|whole| whole.calls).collect::<Vec<_>>(), [(0, 4)]);
    let decided = commits.ended(&report(7, &[Tag::Ok; 3]));
    assert_eq!(decided.store.iter().map(|whole| whole.calls).collect::<Vec<_>>(), [(4, 8), (8, 10)]);
    assert!(commits.chunks.is_empty());
}

#[test]
fn what_may_be_tried_again_or_is_a_part_of_a_chunk_goes_to_the_client() {
    let mut commits = commits(false);
    commits.given(&calls(0, 4));
    commits.given(&calls(4, 2));
    assert!(passed_on(&commits.ended(&report(0, &[Tag::Ok]))).is_empty());
    assert_eq!(passed_on(&commits.ended(&report(1, &[Tag::Failed]))), [(0, 1), (1, 1)]);
    assert_eq!(passed_on(&commits.ended(&report(2, &[Tag::Ok; 2]))), [(2, 2)]);
    assert_eq!(passed_on(&commits.ended(&report(4, &[Tag::Ok; 2]))), [(4, 2)]);
    commits.given(&calls(1, 1));
    assert_eq!(passed_on(&commits.ended(&report(1, &[Tag::Ok]))), [(1, 1)]);
    assert!(commits.chunks.is_empty());
}

#[test]
fn what_is_left_of_a_chunk_goes_to_the_client_when_some_of_it_is_cancelled() {
    let mut commits = commits(false);
    commits.given(&calls(0, 10));
    commits.ended(&report(0, &[Tag::Ok; 2]));
    let left = commits.cancelled(&[(3, 5)]);
    assert_eq!(left.iter().map(|report| report.header.run.first).collect::<Vec<_>>(), [0]);
    assert_eq!(passed_on(&commits.ended(&report(2, &[Tag::Ok]))), [(2, 1)]);
    assert_eq!(passed_on(&commits.ended(&report(5, &[Tag::Ok; 3]))), [(5, 3)]);
    assert_eq!(commits.ended(&report(8, &[Tag::Ok; 2])).store.len(), 1);
}

#[test]
fn a_failure_that_is_final_is_stored() {
    let mut commits = commits(true);
    commits.given(&calls(8, 2));
    let decided = commits.ended(&report(8, &[Tag::Failed, Tag::Ok]));
    assert!(decided.pass_on.is_empty() && decided.store.len() == 1);
}
