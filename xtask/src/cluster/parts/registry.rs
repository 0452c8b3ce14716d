//! The registry that images are pushed to, and the only one that nodes can reach.

use super::{Parts, filled};
use crate::cluster::{
    network::{self, REGISTRY},
    system::request,
};

const CONFIG: &str = include_str!("../../../cluster/templates/registry.yml.in");

pub(in crate::cluster) fn start_registry(parts: &Parts) -> Result<(), String> {
    let images = parts.folder.join("registry");
    let values = [("FOLDER", &*images.to_string_lossy()), ("REGISTRY", REGISTRY)];
    let config = parts.folder.write("registry.yml", &filled(CONFIG, &values))?;
    parts.spawn("registry", "docker-registry".as_ref(), ["serve".as_ref(), config.as_os_str()]).map(drop)
}

pub(in crate::cluster) fn wait_for_registry(parts: &Parts) -> Result<(), String> {
    let server = REGISTRY.parse().unwrap_or_else(|_| network::server(0));
    parts.until("registry", || parts.sandbox.within(|| request(server, "GET", "/v2/", "")).unwrap_or(false))
}
