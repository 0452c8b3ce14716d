//! What the worker runs in these tests.

use std::{fs, path::Path, thread, time::Duration};

#[lithops::function]
pub(crate) fn square(x: u64) -> u64 {
    x * x
}

#[lithops::function]
pub(crate) fn pid_of_call(_: u64) -> u32 {
    std::process::id()
}

/// Ends at once, or when there is a file of this name.
#[lithops::function]
pub(crate) fn report_then_wait(path: String) {
    while !path.is_empty() && !Path::new(&path).exists() {
        thread::sleep(Duration::from_millis(5));
    }
}

/// Writes its process into the file, waits for a file with `.go` at its end, and says that it has ended.
#[lithops::function]
pub(crate) fn wait_for(path: String) {
    fs::write(&path, format!("{}\n", std::process::id())).expect("written");
    while !Path::new(&format!("{path}.go")).exists() {
        thread::sleep(Duration::from_millis(5));
    }
    fs::write(format!("{path}.ended"), "").expect("written");
}

/// The argument of a call that must never begin.
pub(crate) fn nothing_more() -> String {
    "/no such folder/at all".to_owned()
}
