//! The backend `aws_lambda`, put to the trials of the conformance suite and to its own, on the service at the address
//! that LITHOPS_TEST_LAMBDA names, `127.0.0.1:4566`, whose S3 has the bucket `lithops-e2e`; without it on a fake on
//! loopback, with answers that come as a whole and with answers that come in pieces. LITHOPS_TEST_WORKER is the program
//! that is deployed; without it this one is.

mod lambda {
    pub(crate) mod functions;
    pub(crate) mod place;
    pub(crate) mod trials;
}

use std::process::ExitCode;

use lambda::{
    place::Place,
    trials::{trials as own_trials, trials_alone},
};
use libtest_mimic::{Arguments, Trial};
use lithops_backend_aws_lambda as _;
use lithops_conformance::compute::{enter, trials};
use lithops_fake_lambda::{FakeLambda, Settings};
use lithops_storage_aws_s3 as _;

fn main() -> ExitCode {
    enter();
    let arguments = Arguments::from_args();
    let folder = tempfile::tempdir().expect("a folder");
    let worker = std::env::var("LITHOPS_TEST_WORKER");
    let more = worker.map_or_else(|_| String::new(), |worker| format!(", worker: '{worker}'"));
    let of = |server: &str, sections: String, more: String| Place {
        server: server.parse().expect("an address"),
        sections,
        more,
        folder: folder.path().to_owned(),
    };
    let yaml = |place: &Place, wish: &str| {
        format!(
            "aws: {{access_key_id: test, secret_access_key: test, region: us-east-1}}\n\
             aws_lambda: {{endpoint: 'http://{}', execution_role: 'arn:aws:iam::123456789012:role/lithops', \
             runtime_timeout: 5{}{wish}}}\n{}\n",
            place.server, place.more, place.sections
        )
    };
    if let Ok(server) = std::env::var("LITHOPS_TEST_LAMBDA") {
        let sections = format!("aws_s3: {{storage_bucket: lithops-e2e, endpoint: 'http://{server}'}}");
        let place = of(&server, sections, more);
        let mut all = trials("aws_lambda", "aws_lambda", &yaml(&place, ""));
        all.extend(own_trials("aws_lambda", &place));
        return run(&arguments, all, trials_alone("aws_lambda", &place));
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let fake = runtime.block_on(FakeLambda::start(Settings::default())).expect("a fake");
    let server = fake.endpoint().trim_start_matches("http://").to_owned();
    let sections = format!("localhost: {{storage_root: '{}'}}", folder.path().display());
    // Its instances are of this machine.
    let place = of(&server, sections, format!("{more}, capabilities: {{storages: [localhost]}}"));
    let mut all = trials("aws_lambda", "aws_lambda", &yaml(&place, ""));
    all.extend(trials("aws_lambda_streaming", "aws_lambda", &yaml(&place, ", response_streaming: true")));
    all.extend(own_trials("aws_lambda", &place));
    let done = run(&arguments, all, trials_alone("aws_lambda", &place));
    drop(fake);
    done
}

/// Runs the trials that can run beside each other, and then the others.
fn run(arguments: &Arguments, together: Vec<Trial>, alone: Vec<Trial>) -> ExitCode {
    let done = libtest_mimic::run(arguments, together);
    if done.has_failed() {
        return done.exit_code();
    }
    libtest_mimic::run(arguments, alone).exit_code()
}
