//! `cargo xtask e2e`: the built programs, driven as a user would, as separate processes on this machine.

mod aws_ec2;
mod aws_lambda;
mod cli;
mod examples;
mod gcp_cloudrun;
mod k8s;
mod knative;
mod leftovers;
mod peers;
mod place;
mod plugins;
mod program;
mod run;
mod storage;
mod third_party;

pub(crate) use k8s::measure as k8s_rate;
pub(crate) use knative::measure as knative_rate;
pub(crate) use peers::{BUCKET, ID, SECRET, Server, lithops_python, weed};
pub(crate) use plugins::{PLUGIN, library};
pub(crate) use run::{What, only_of_aws_ec2, run};
