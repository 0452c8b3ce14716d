//! What `cargo xtask cluster status` prints.

use std::fmt::Write;

use super::{folder::Folder, handle::Cluster};

/// The parts with their processes, and what the API server says of the nodes.
pub(super) fn of(folder: &Folder) -> Result<String, String> {
    let Some(sandbox) = folder.sandbox() else {
        return Ok(format!("no cluster runs in `{}`\n", folder.path().display()));
    };
    let mut text = format!("{:<20} {:>8}  alive\n", "namespaces", sandbox.init().pid());
    for (part, process) in folder.parts() {
        let pid = process.map_or_else(|| "?".to_owned(), |process| process.pid().to_string());
        let state = if process.is_some_and(super::system::Process::is_alive) { "alive" } else { "ended" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{part:<20} {pid:>8}  {state}");
    }
    let nodes = Cluster::of(folder.clone(), sandbox).kubectl(["get", "nodes", "--request-timeout=5s"]);
    text.push_str(&nodes.unwrap_or_else(|problem| format!("the nodes are not known: {problem}\n")));
    Ok(text)
}
