//! Sub-workers and workers are killed at random while a map runs: every result is there, and right.

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use lithops::prelude::*;
use rustix::process::{Pid, Signal, kill_process};

lithops::test_worker!();

#[lithops::function]
fn work(x: u64) -> u64 {
    let end = Instant::now() + Duration::from_millis(5);
    let mut value = x;
    while Instant::now() < end {
        value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    }
    std::hint::black_box(value);
    x * x
}

/// The processes whose parent is one of `parents`.
fn children(parents: &BTreeSet<i32>) -> BTreeSet<i32> {
    let pids = fs::read_dir("/proc").expect("processes").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let mut fields = fields.split_whitespace();
        fields.next() != Some("Z")
            && fields
                .next()
                .and_then(|parent| parent.parse().ok())
                .is_some_and(|parent| parents.contains(&parent))
    })
    .collect()
}

fn kill_one(pids: &BTreeSet<i32>, seed: u64) -> bool {
    let place =
        usize::try_from(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33).unwrap_or(0) % pids.len().max(1);
    // It may have ended by itself meanwhile.
    pids.iter()
        .nth(place)
        .is_some_and(|pid| kill_process(Pid::from_raw(*pid).expect("a process"), Signal::KILL).is_ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_result_is_there_although_processes_are_killed_at_random() {
    const CALLS: u64 = 2_000;
    let fexec =
        FunctionExecutor::builder().worker_processes(2).max_workers(2).build().await.expect("an executor");
    let futures = fexec.map(work, 0..CALLS).retries(RetryPolicy::new(0).losses(20)).await.expect("a job");
    let done = Arc::new(AtomicBool::new(false));
    let killed = Arc::new(AtomicU64::new(0));
    let chaos = thread::spawn({
        let (done, killed) = (Arc::clone(&done), Arc::clone(&killed));
        move || {
            let own = BTreeSet::from([i32::try_from(std::process::id()).expect("small")]);
            for round in 0.. {
                if done.load(Ordering::Acquire) {
                    break;
                }
                thread::sleep(Duration::from_millis(50));
                let workers = children(&own);
                let victims = if round % 10 == 9 { workers } else { children(&workers) };
                killed.fetch_add(u64::from(kill_one(&victims, round)), Ordering::Relaxed);
            }
        }
    });
    let results = futures.get_result().await;
    done.store(true, Ordering::Release);
    chaos.join().expect("no panic");
    let progress = futures.progress();
    let killed = killed.load(Ordering::Relaxed);
    assert_eq!(results.expect("all results"), (0..CALLS).map(|x| x * x).collect::<Vec<_>>());
    assert!(killed >= 20, "only {killed} processes were killed: the run shows nothing");
    assert!(progress.retried > 0 && progress.lost_workers > 0, "{progress:?} after {killed} kills");
}
