//! The addresses of a cluster. They exist in its own network alone, so that two clusters can have the same.

use std::net::{Ipv4Addr, SocketAddr};

/// The control plane, the registry and the storage. Kubelets refuse loopback.
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 250, 1, 254);
pub(super) const API_SERVER: u16 = 26_443;
pub(super) const ETCD: u16 = 23_890;

/// Where images are pushed to and pulled from.
pub(super) const REGISTRY: &str = "10.250.1.254:5055";

/// The address of a node, counted from 1.
pub(super) fn node(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 250, 1, number)
}

pub(super) fn server(port: u16) -> SocketAddr {
    (SERVER, port).into()
}
