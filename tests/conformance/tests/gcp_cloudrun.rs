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

/// With this variable, the name of a configuration, the program is a client with one call that never ends.
pub(crate) const CLIENT: &str = "LITHOPS_TEST_CLIENT";

fn client(yaml: &str) -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(cloudrun::place::stay(yaml));
    ExitCode::SUCCESS
}

fn main() -> ExitCode {
    enter();
    if let Ok(yaml) = std::env::var(CLIENT) {
        return client(&yaml);
    }
    let arguments = Arguments::from_args();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let place = runtime.block_on(Place::start("suite", Default::default()));
    let all = trials("gcp_cloudrun", "gcp_cloudrun", &place.yaml(", runtime_timeout: 5"));
    // They make many images, which takes minutes.
    let own = if cfg!(feature = "long") { own_trials() } else { Vec::new() };
    let done = run(&arguments, all, own);
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
