//! The backends of this project, put to the trials of the conformance suite; among them localhost in the shapes that
//! platforms have whose workers cannot be fed.

mod shapes;

use std::process::ExitCode;

use libtest_mimic::Arguments;
use lithops_backend_localhost as _;
use lithops_conformance::compute::{enter, trials};

fn main() -> ExitCode {
    enter();
    let folder = tempfile::tempdir().expect("a folder");
    let localhost = format!("localhost: {{storage_root: '{}'}}", folder.path().display());
    let limited = format!(
        "localhost: {{storage_root: '{}', capabilities: {{payload_limit: 200000}}}}",
        folder.path().display()
    );
    let pull =
        format!("localhost: {{storage_root: '{}', dispatch: pull, lease: 4s}}", folder.path().display());
    let document = pull.replace("lease: 4s", "lease: 4s, launch: document");
    let mut all = trials("localhost", "localhost", &localhost);
    all.extend(trials("localhost_with_small_messages", "localhost", &limited));
    all.extend(trials("localhost_pull", "localhost", &pull));
    all.extend(trials("localhost_from_a_document", "localhost", &document));
    all.extend(trials("streamed", "streamed", &localhost));
    all.extend(trials("buffered", "buffered", &localhost));
    let done = libtest_mimic::run(&Arguments::from_args(), all);
    drop(folder);
    done.exit_code()
}
