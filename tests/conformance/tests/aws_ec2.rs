//! The backend `aws_ec2`, put to the trials of the conformance suite on the stand-in that the configuration
//! LITHOPS_TEST_EC2 leads to: `cargo xtask e2e aws_ec2` starts one.

use std::process::ExitCode;

use lithops_backend_aws_ec2 as _;
use lithops_storage_aws_s3 as _;

fn main() -> ExitCode {
    lithops_conformance::compute::enter();
    let file = std::env::var_os("LITHOPS_TEST_EC2");
    let file = file
        .expect("LITHOPS_TEST_EC2 names a configuration: `cargo xtask e2e aws_ec2` starts a stand-in for it");
    let yaml = std::fs::read_to_string(&file).expect("a configuration");
    lithops_conformance::compute::run("aws_ec2", &yaml)
}
