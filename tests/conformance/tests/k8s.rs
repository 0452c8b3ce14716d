//! The backend `k8s`, put to the trials of the conformance suite on the cluster that the configuration LITHOPS_TEST_K8S
//! leads to: `cargo xtask e2e k8s` starts one.

use std::process::ExitCode;

use lithops_backend_k8s as _;
use lithops_storage_aws_s3 as _;

fn main() -> ExitCode {
    lithops_conformance::compute::enter();
    let file = std::env::var_os("LITHOPS_TEST_K8S");
    let file =
        file.expect("LITHOPS_TEST_K8S names a configuration: `cargo xtask e2e k8s` starts a cluster for it");
    let yaml = std::fs::read_to_string(&file).expect("a configuration");
    lithops_conformance::compute::run("k8s", &yaml)
}
