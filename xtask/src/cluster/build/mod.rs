//! What a cluster is made of, before it is started: tools of the machine, programs of Go modules, the image of a pod.

mod pause;
mod programs;
mod tar;
mod tools;

pub(super) use pause::{IMAGE, image, program, program_image};
pub(super) use programs::{CLUSTER, KNATIVE, KWOK, hex};
pub(super) use tools::{containerd_plugins, prepare};
