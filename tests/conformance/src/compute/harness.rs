//! Trials as a test harness runs them.

use std::{process::ExitCode, time::Duration};

use libtest_mimic::{Arguments, Failed, Trial};

use super::{
    promise::{Promise, promises, put_to},
    subject::capabilities,
    trials::alone,
};

/// How long anything may take that is to happen, on a busy machine or a slow platform.
const PATIENCE: Duration = Duration::from_secs(120);

/// Puts the backend of a scheme to all promises that its capabilities make, as the `main` of a test target. Its workers
/// are this program as well.
#[must_use]
pub fn run(scheme: &'static str, yaml: &str) -> ExitCode {
    enter();
    libtest_mimic::run(&Arguments::from_args(), trials(scheme, scheme, yaml)).exit_code()
}

/// Makes this process what it was started as, if it was started by a trial: the first statement of a `main` that does
/// not call [`run`].
pub fn enter() {
    lithops_worker::enter();
    alone::enter();
}

/// The same as trials of a harness of one's own, under a name. What the backend does not promise is left out.
#[must_use]
pub fn trials(name: &str, scheme: &'static str, yaml: &str) -> Vec<Trial> {
    match capabilities(scheme, yaml) {
        Ok(capabilities) => {
            let promised = promises().into_iter().filter(|promise| promise.applies(&capabilities));
            promised.map(|promise| trial(name, promise, scheme, yaml.to_owned())).collect()
        }
        Err(error) => {
            let said = format!("{error:?}");
            vec![Trial::test(format!("{name}::is_there"), move || Err(Failed::from(said)))]
        }
    }
}

fn trial(name: &str, promise: Promise, scheme: &'static str, yaml: String) -> Trial {
    Trial::test(format!("{name}::{}", promise.name), move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let tried = runtime.block_on(put_to(&promise, scheme, &yaml, PATIENCE));
        runtime.shutdown_background();
        tried.map_err(Failed::from)
    })
}
