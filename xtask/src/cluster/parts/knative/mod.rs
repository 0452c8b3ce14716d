//! Knative Serving: its own activator, autoscaler, controller and webhook as processes beside the cluster's, and its
//! queue-proxy in each pod. It has no ingress: requests go to the activator and name their revision.

mod manifests;
mod names;
mod programs;

pub(crate) use names::serve_names;
pub(crate) use programs::{ACTIVATOR, restart_activator, start_knative};
