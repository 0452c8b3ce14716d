//! What the calls of the trials do, in instances of the service.

use std::{path::PathBuf, thread, time::Duration};

use lithops_conformance as _;
use lithops_core::{bytes::Bytes, id::CallId};
use lithops_macros::function;
use serde::{Deserialize, Serialize};

/// The function of the seed, and where it ran.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) value: i64,
    pub(crate) sub_worker: u32,
    pub(crate) worker: u32,
}

#[function(crate = "lithops_conformance")]
#[expect(clippy::print_stdout, reason = "the worker keeps what calls print")]
pub(crate) fn seed(id: CallId, x: i64) -> Place {
    println!("I'm activation number {id}");
    // So that those that may run at once do.
    thread::sleep(Duration::from_millis(20));
    Place { value: x + 7, sub_worker: std::process::id(), worker: std::os::unix::process::parent_id() }
}

/// Leaves a file each time it is begun.
#[function(crate = "lithops_conformance")]
pub(crate) fn counted(id: CallId, folder: PathBuf) -> u64 {
    let name = format!("{id}-{}", lithops_core::id::JobId::generate());
    std::fs::write(folder.join(name), b"").expect("a file");
    u64::from(id) * 3
}

#[function(crate = "lithops_conformance")]
pub(crate) fn sleeps(milliseconds: u64) -> u64 {
    thread::sleep(Duration::from_millis(milliseconds));
    milliseconds
}

/// Says in which process it runs, and never ends by itself.
#[function(crate = "lithops_conformance")]
pub(crate) fn stays(id: CallId, folder: PathBuf) -> u64 {
    std::fs::write(folder.join(format!("stays-{id}")), std::process::id().to_string()).expect("a file");
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

#[function(crate = "lithops_conformance")]
pub(crate) fn grows(bytes: usize) -> Bytes {
    vec![7; bytes].into()
}

/// Fills the memory a little at a time when it is the call `greedy`, up to 2 GiB.
#[function(crate = "lithops_conformance")]
pub(crate) fn hoards(id: CallId, greedy: u64) -> u64 {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    while u64::from(id) == greedy && hoard.len() < 512 {
        hoard.push(vec![1; 4 << 20]);
        thread::sleep(Duration::from_millis(10));
    }
    id.into()
}

/// Ends the whole instance, as the platform may.
#[function(crate = "lithops_conformance")]
pub(crate) fn ends_its_instance(id: CallId, victim: u64) -> u64 {
    if u64::from(id) == victim {
        let parent = rustix::process::getppid().expect("a parent");
        rustix::process::kill_process(parent, rustix::process::Signal::KILL).expect("a signal");
        thread::sleep(Duration::from_secs(60));
    }
    id.into()
}
