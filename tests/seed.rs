//! The seed's program, as a test: its results, its plan, its granularity on real processes.

#![expect(clippy::print_stdout, reason = "the seed's program prints")]

use std::collections::BTreeSet;

use lithops::prelude::*;

lithops::test_worker!();

#[lithops::function]
fn my_map_function(id: CallId, x: i64) -> i64 {
    println!("I'm activation number {id}");
    x + 7
}

#[tokio::test]
async fn the_seeds_program_prints_its_results_in_order() {
    let fexec = FunctionExecutor::builder().worker_processes(4).build().await.expect("an executor");
    let futures = fexec.map(my_map_function, 0..200).chunksize(8).await.expect("a job");
    let results: Vec<i64> = futures.get_result().await.expect("results");
    assert_eq!(results, (7..=206).collect::<Vec<_>>());
    let plan = futures.plan();
    assert_eq!((plan.workers(), plan.worker_processes(), plan.chunksize()), (25, 4, 8));
    assert_eq!(plan.chunks().collect::<Vec<_>>(), [8; 25]);
    for number in [0, 3, 199] {
        let log = futures[number].logs().await.expect("a log");
        assert_eq!(log, format!("I'm activation number {number}\n"));
    }
    let pids: BTreeSet<_> = futures.iter().map(|future| future.stats().expect("ended").pid).collect();
    assert!(!pids.contains(&std::process::id()) && pids.len() <= 4, "{pids:?}");
}
