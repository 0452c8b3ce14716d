//! The backend `knative`, put to the trials of the conformance suite on the cluster that the configuration
//! LITHOPS_TEST_KNATIVE leads to: `cargo xtask e2e knative` starts one.

use std::process::ExitCode;

use lithops_backend_knative as _;
use lithops_storage_aws_s3 as _;

fn main() -> ExitCode {
    lithops_conformance::compute::enter();
    let file = std::env::var_os("LITHOPS_TEST_KNATIVE");
    let file = file.expect(
        "LITHOPS_TEST_KNATIVE names a configuration: `cargo xtask e2e knative` starts a cluster for it",
    );
    let yaml = std::fs::read_to_string(&file).expect("a configuration");
    lithops_conformance::compute::run("knative", &yaml)
}
