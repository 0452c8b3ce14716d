//! A killed worker is noticed by its end, and by nothing else.

use std::{fs, path::PathBuf, thread, time::Duration};

use lithops::{JobEvent, Registry, config::Config, prelude::*};
use rustix::process::{Pid, Signal, kill_process};

lithops::test_worker!();

/// Waits for its end when it is tried for the first time.
#[lithops::function]
fn survive(context: CallContext, folder: PathBuf) -> u32 {
    if context.attempt() > 1 {
        return context.attempt();
    }
    let place = folder.join(context.call_id().to_string());
    fs::write(place.with_extension("new"), std::os::unix::process::parent_id().to_string()).expect("written");
    fs::rename(place.with_extension("new"), place).expect("renamed");
    loop {
        thread::park();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_end_is_seen_before_any_timer() {
    let registry = Registry::builtin().expect("backends");
    let localhost = registry.find("localhost").expect("it is there").capabilities(&Config::default());
    // There is no lease that could expire.
    assert_eq!(localhost.expect("capabilities").liveness, lithops_core::compute::Liveness::Platform);

    let root = tempfile::tempdir().expect("a folder");
    let fexec = FunctionExecutor::builder().worker_processes(3).build().await.expect("an executor");
    let mut events = fexec.events();
    let futures = fexec.map(survive, vec![root.path().to_owned(); 3]).await.expect("a job");
    let worker = loop {
        let pids: Vec<_> =
            (0..3).filter_map(|call| fs::read_to_string(root.path().join(call.to_string())).ok()).collect();
        match pids.first() {
            Some(pid) if pids.len() == 3 => break pid.parse().expect("a number"),
            _ => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    };
    kill_process(Pid::from_raw(worker).expect("a process"), Signal::KILL).expect("killed");
    assert_eq!(futures.get_result().await.expect("results"), [2, 2, 2]);

    let (mut story, mut retried) = (Vec::new(), 0);
    while let Some(event) = events.next().await {
        match event {
            JobEvent::WorkerLost { reason, .. } => {
                assert!(reason.contains("signal 9"), "{reason}");
                story.push("lost");
            }
            // Together, or in the parts they were given out in.
            JobEvent::Retried { first, end, .. } => {
                retried += end - first;
                story.push("retried");
            }
            JobEvent::WorkerStarted { .. } => story.push("started"),
            JobEvent::Done { progress, .. } if progress.done == 3 => story.push("done"),
            JobEvent::Finished { progress, .. } => {
                assert_eq!((progress.lost_workers, progress.retried), (1, 3));
                break;
            }
            _ => {}
        }
    }
    story.dedup();
    assert_eq!(retried, 3);
    assert_eq!(story, ["started", "lost", "retried", "started", "done"]);
}
