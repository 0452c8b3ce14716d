//! The addresses of a cluster. They exist in its own network alone, so that two clusters can have the same.

use std::net::{Ipv4Addr, SocketAddr};

/// The control plane, the registry and the storage. Kubelets refuse loopback.
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 250, 1, 254);
pub(super) const API_SERVER: u16 = 26_443;
pub(super) const ETCD: u16 = 23_890;

/// Where images are pushed to and pulled from.
pub(super) const REGISTRY: &str = "10.250.1.254:5055";

/// Where requests come in for what Knative runs: its activator, which speaks HTTP/1.1 and HTTP/2.
pub(crate) const ACTIVATOR: &str = "http://10.250.1.254:8012";
/// The activator, for revisions that speak HTTP/1.1 and for those that speak HTTP/2.
pub(super) const ACTIVATOR_HTTP1: u16 = 8_012;
pub(super) const ACTIVATOR_HTTP2: u16 = 8_013;
/// Knative's controller has a network of its own, because it listens where the autoscaler does: this end and its own.
pub(super) const CONTROLLER: (Ipv4Addr, Ipv4Addr) =
    (Ipv4Addr::new(10, 250, 2, 1), Ipv4Addr::new(10, 250, 2, 2));

/// The address of a node, counted from 1.
pub(super) fn node(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 250, 1, number)
}

pub(super) fn server(port: u16) -> SocketAddr {
    (SERVER, port).into()
}
