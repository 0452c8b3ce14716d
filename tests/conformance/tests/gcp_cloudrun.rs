//! The backend `gcp_cloudrun`, put to the trials of the conformance suite and to its own, on a fake of Cloud Run on
//! loopback. This program is what is in the images, and instances are processes of this machine.

mod cloudrun {
    pub(crate) mod functions;
    pub(crate) mod place;
    pub(crate) mod trials;
}

use std::process::ExitCode;

use cloudrun::{place::Place, trials::trials as own_trials};
use libtest_mimic::{Arguments, Trial};
use lithops_backend_gcp_cloudrun as _;
use lithops_conformance::compute::{enter, trials};

fn main() -> ExitCode {
    enter();
    let arguments = Arguments::from_args();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let place = runtime.block_on(Place::start("suite", Default::default()));
    let all = trials("gcp_cloudrun", "gcp_cloudrun", &place.yaml(", runtime_timeout: 5"));
    let done = run(&arguments, all, own_trials());
    drop(place);
    done
}

/// Runs the trials that can run beside each other, and then the others, which count instances.
fn run(arguments: &Arguments, together: Vec<Trial>, alone: Vec<Trial>) -> ExitCode {
    let done = libtest_mimic::run(arguments, together);
    if done.has_failed() {
        return done.exit_code();
    }
    libtest_mimic::run(&Arguments { test_threads: Some(1), ..arguments.clone() }, alone).exit_code()
}
