//! What the calls of the trials do, in instances of the service.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use lithops_conformance as _;
use lithops_core::id::CallId;
use lithops_macros::function;
use rustix::process::{Signal, getppid, kill_process};

/// The pause between two looks at a folder.
const LOOK: Duration = Duration::from_millis(5);

fn leave_a_file(folder: &Path, id: CallId) {
    let name = format!("{id}-{}", lithops_core::id::JobId::generate());
    fs::write(folder.join(name), b"").expect("a file");
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder).expect("a folder").count()
}

/// Leaves a file each time it is begun.
#[function(crate = "lithops_conformance")]
pub(crate) fn counted(id: CallId, folder: PathBuf) -> u64 {
    leave_a_file(&folder, id);
    u64::from(id) * 3
}

/// Ends once this many calls have begun.
#[function(crate = "lithops_conformance")]
pub(crate) fn meets(id: CallId, folder: PathBuf, calls: usize) -> u32 {
    leave_a_file(&folder, id);
    while files(&folder) < calls {
        thread::sleep(LOOK);
    }
    std::os::unix::process::parent_id()
}

/// Never ends, and writes the number of its process.
#[function(crate = "lithops_conformance")]
pub(crate) fn stays(folder: PathBuf) -> u32 {
    fs::write(folder.join("process.part"), std::process::id().to_string()).expect("a file");
    fs::rename(folder.join("process.part"), folder.join("process")).expect("a file");
    loop {
        thread::sleep(LOOK);
    }
}

/// Stops the instance of the first call that is begun.
#[function(crate = "lithops_conformance")]
pub(crate) fn stops_its_instance(id: CallId, folder: PathBuf) -> u64 {
    if u64::from(id) == 0 && fs::File::create_new(folder.join("stopped")).is_ok() {
        kill_process(getppid().expect("a parent"), Signal::STOP).expect("a signal");
        loop {
            thread::sleep(LOOK);
        }
    }
    id.into()
}

/// Ends the instance of the first call that is begun.
#[function(crate = "lithops_conformance")]
pub(crate) fn ends_its_instance(id: CallId, folder: PathBuf) -> u64 {
    if u64::from(id) == 0 && fs::File::create_new(folder.join("ended")).is_ok() {
        kill_process(getppid().expect("a parent"), Signal::KILL).expect("a signal");
        loop {
            thread::sleep(LOOK);
        }
    }
    id.into()
}
