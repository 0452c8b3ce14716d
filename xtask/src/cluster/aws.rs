//! Programs of AWS that play a part of its services. They need no cluster: they are built as its programs are.

use std::path::PathBuf;

use super::build::{AWS, go};

/// The folder of `ec2-metadata-mock` and `aws-lambda-rie`, which are built if this machine has not done so before.
pub(crate) fn aws_programs() -> Result<PathBuf, String> {
    if !AWS.is_built()? && go().is_none() {
        return Err("the programs of AWS are built from their Go modules: install Go from https://go.dev/dl"
            .to_owned());
    }
    AWS.built()
}
