//! The backend `gcp_cloudrun`, put to the trials of the conformance suite and to its own, on a fake of Cloud Run on
//! loopback. This program is what is in the images, and instances are processes of this machine.

mod cloudrun {
    pub(crate) mod functions;
    pub(crate) mod place;
    pub(crate) mod trials;
}

use std::process::ExitCode;

use cloudrun::{place::Place, trials};
use libtest_mimic::{Arguments, Trial};
use lithops_backend_gcp_cloudrun as _;
use lithops_conformance::compute::{enter, trials as suite};

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
    let mut all = suite("gcp_cloudrun", "gcp_cloudrun", &place.yaml(", runtime_timeout: 5"));
    let images = place.fake.images();
    let of = |trials| trials::of(trials, &images);
    // They take a minute and more.
    let done = if cfg!(feature = "long") {
        // One waits most of the time.
        all.splice(..0, of(trials::WAITING));
        run(&arguments, [(3, all), (2, of(trials::COUNTING)), (1, of(trials::TIMED))])
    } else {
        run(&arguments, [(2, all)])
    };
    drop(place);
    done
}

/// Runs trials, each list with this many at once, up to the first list that fails.
fn run<const N: usize>(arguments: &Arguments, all: [(usize, Vec<Trial>); N]) -> ExitCode {
    for (threads, trials) in all {
        let threads = arguments.test_threads.unwrap_or(threads);
        let arguments = Arguments { test_threads: Some(threads), ..arguments.clone() };
        let done = libtest_mimic::run(&arguments, trials);
        if done.has_failed() {
            return done.exit_code();
        }
    }
    ExitCode::SUCCESS
}
