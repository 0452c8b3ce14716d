//! `cargo xtask e2e aws_ec2`: the backend on moto's EC2, whose instances `tests/ec2_hands` runs as processes.

mod faults;
mod hands;
mod jobs;
mod looks;
mod market;
mod place;
mod run;

pub(super) use run::run;
