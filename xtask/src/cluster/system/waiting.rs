//! Waits until a part of the cluster is ready, and shows what it printed if it is not.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

const PAUSE: Duration = Duration::from_millis(50);
/// Lines of a log that are shown.
const LINES: usize = 20;

/// Waits until something is ready; `broken` says beforehand that it never will be.
pub(in crate::cluster) fn until(
    what: &str,
    patience: Duration,
    broken: impl Fn() -> Option<String>,
    mut ready: impl FnMut() -> bool,
) -> Result<(), String> {
    let begun = Instant::now();
    while !ready() {
        if let Some(problem) = broken() {
            return Err(problem);
        }
        if begun.elapsed() > patience {
            return Err(format!("{what} is not ready after {} s", patience.as_secs()));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// The end of a log, to be put behind a message.
pub(in crate::cluster) fn last_lines(log: &Path) -> String {
    let printed = fs::read(log).unwrap_or_default();
    let printed = String::from_utf8_lossy(&printed);
    let lines: Vec<&str> = printed.lines().collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    if last.is_empty() {
        "; it printed nothing".to_owned()
    } else {
        format!("; it printed at last:\n{}", last.join("\n"))
    }
}
