//! Builds, then runs every trial.

use super::{
    aws_ec2, aws_lambda, cli, examples, gcp_cloudrun, k8s, knative,
    leftovers::{self, Leftovers},
    plugins,
    program::Programs,
    storage, third_party,
};
use crate::{
    steps,
    workspace::{built, cargo},
};

/// The platform that the programs are run against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum What {
    /// This machine.
    Localhost,
    /// Servers that are storages: SeaweedFS for S3, Redis, and fake-gcs-server for Cloud Storage; with `--full` moto too.
    Storage,
    /// Instances of EC2, which moto has on record and this machine runs as processes.
    #[value(name = "aws_ec2")]
    AwsEc2,
    /// AWS Lambda, played by ministack; with `--full` policies too, and moto.
    #[value(name = "aws_lambda")]
    AwsLambda,
    /// Google Cloud Run, played by a fake.
    #[value(name = "gcp_cloudrun")]
    GcpCloudRun,
    /// A cluster of Kubernetes in a network namespace of this machine.
    K8s,
    /// Knative Serving on such a cluster.
    Knative,
    /// Backends of third parties.
    ThirdParty,
    /// Backends that are loaded at run time.
    Plugins,
}

/// Builds the programs and drives them.
pub(crate) fn run(what: What, full: bool) -> Result<(), String> {
    match what {
        What::Localhost => localhost(),
        What::Storage => storage::run(full),
        What::AwsEc2 => aws_ec2::run(""),
        What::AwsLambda => aws_lambda::run(full),
        What::GcpCloudRun => gcp_cloudrun::run(full),
        What::K8s => k8s::run(full),
        What::Knative => knative::run(full),
        What::ThirdParty => third_party::run(),
        What::Plugins => plugins::run(),
    }
}

/// Runs the trials of `aws_ec2` whose names have these words.
pub(crate) fn only_of_aws_ec2(words: &str) -> Result<(), String> {
    aws_ec2::run(words)
}

/// Each trial leaves no process behind.
fn localhost() -> Result<(), String> {
    steps::run(cargo().args(["build", "--quiet", "--workspace", "--bins", "--examples"]))?;
    let programs = Programs::new(built("debug")?)?;
    let trials = cli::TRIALS.iter().chain(examples::TRIALS).chain(leftovers::TRIALS);
    let mut passed = 0;
    for (name, trial) in trials {
        let left = Leftovers::of(&programs);
        trial(&programs).and_then(|()| left.none()).map_err(|problem| format!("e2e: {name}: {problem}"))?;
        eprintln!("   {name}: passed");
        passed += 1;
    }
    eprintln!("   {passed} trials passed");
    Ok(())
}
