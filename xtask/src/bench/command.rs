//! The command: which workloads are measured, on which systems.

use std::process::Command;

use clap::ValueEnum;

use super::{comparison, faas, lambda, text};
use crate::{
    e2e::{self, BUCKET, ID, PLUGIN, SECRET, Server, library},
    steps,
    workspace::{built, cargo, root},
};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// Every workload but `partitioner_s3`, `granularity`, `plugin`, `k8s`, `knative`, `lambda` and `faas`.
    All,
    /// Bare sockets over two hops: what the others could be at best.
    Echo,
    /// The seed's program as a whole process.
    Seed,
    /// From the creation of an executor to its first result.
    Start,
    /// A million calls that do nothing, in one map.
    Noop,
    /// One call after another on a warm worker.
    Latency,
    /// 200 calls with 1 MiB in and out.
    Bytes,
    /// 64 calls of 50 ms, beside the same on bare threads.
    Cpu,
    /// 2,000 calls of exponentially distributed length, beside a list schedule.
    Skew,
    /// The words of 512 MiB of text, beside the same on bare threads.
    Wordcount,
    /// Reading text in parts, and its lines, beside the same by hand.
    Partitioner,
    /// The same from an S3 server on this machine, beside object_store alone.
    #[value(name = "partitioner_s3")]
    PartitionerS3,
    /// A durable job with much data, beside its storage alone; and the objects of a chunk of small outcomes.
    Storage,
    /// Time, CPU time and the client's memory for ever more calls.
    Growth,
    /// Sleeping calls on 1 to 64 sub-workers.
    #[value(name = "sub_workers")]
    SubWorkers,
    /// 1 to 1,000 jobs at once.
    #[value(name = "jobs_at_once")]
    JobsAtOnce,
    /// 1,000 jobs one after another, and whether the client grows.
    #[value(name = "jobs_in_turn")]
    JobsInTurn,
    /// The client's memory for a million calls.
    Memory,
    /// From the SIGKILL of a worker to its call running in the next one.
    Kill,
    /// Ten more workloads over a grid of granularities, beside auto and prediction; takes some minutes.
    Granularity,
    /// A call on a backend that is loaded at run time, beside one that is built in.
    Plugin,
    /// The backend `k8s`, on a cluster on this machine: how soon a call has its result, on pods that pull and on pods that are
    /// fed, and how many calls run in a second; what is slower than its documentation says is an error.
    K8s,
    /// The backend `knative`: calls in a second on 10 pods of a cluster on this machine, and 5,000 activations at once in
    /// one client; less than 50,000 calls, or more than 4 s or 300 MB, is an error.
    Knative,
    /// The backend `aws_lambda`: thousands of invocations at once, a warm call, a cold start.
    Lambda,
    /// 200 and 2,000 calls on an emulator of Lambda and S3, beside Lithops for Python on the same.
    Faas,
}

/// Builds the programs, then measures; with peers where the workload has any.
pub(crate) fn run(what: What, peers: bool) -> Result<(), String> {
    match what {
        What::Lambda => lambda::run(),
        What::Faas => faas::run(),
        What::PartitionerS3 => partitioner_s3(),
        What::K8s => e2e::k8s_rate(),
        What::Knative => e2e::knative_rate(),
        What::Plugin => plugin(),
        What::Granularity => {
            steps::run(cargo().args(["build", "--release", "--quiet", "-p", "lithops", "--examples"]))?;
            steps::run(&mut Command::new(built("release")?.join("examples/workloads")))
        }
        What::All => comparison::run(&[], peers),
        one => {
            let value = one.to_possible_value().ok_or("it has no name")?;
            comparison::run(&[value.get_name()], peers)
        }
    }
}

fn partitioner_s3() -> Result<(), String> {
    let package = "--package=lithops-storage-aws-s3";
    steps::run(cargo().args(["build", "--release", "--quiet", package, "--example=parts"]))?;
    let below = built("bench")?;
    let text = text::folder(&below, 512)?;
    let folder = below.join("s3");
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let server = Server::seaweedfs(&folder)?;
    let config = folder.join("config.yaml");
    std::fs::write(&config, &server.yaml).map_err(|error| error.to_string())?;
    let mut measure = Command::new(built("release")?.join("examples/parts"));
    measure.arg(format!("http://127.0.0.1:{}", server.port)).arg(BUCKET).arg(text);
    measure.env("AWS_ACCESS_KEY_ID", ID).env("AWS_SECRET_ACCESS_KEY", SECRET);
    let measured = steps::run(measure.env("LITHOPS_CONFIG_FILE", config));
    drop(server);
    std::fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
    measured
}

/// Each is built in a workspace of its own, as strangers do.
fn plugin() -> Result<(), String> {
    let target = built("")?;
    for (name, arguments) in [("lithops-backend-launcher", PLUGIN), ("host", &["build"])] {
        let manifest = root().join("tests/fixtures").join(name).join("Cargo.toml");
        let mut build = cargo();
        build.args(arguments).args(["--release", "--quiet", "--manifest-path"]).arg(manifest);
        steps::run(build.arg("--target-dir").arg(&target))?;
    }
    let library = library("release", "lithops-backend-launcher")?;
    steps::run(Command::new(built("release")?.join("host")).arg("cost").arg(library).arg("launcher"))
}
