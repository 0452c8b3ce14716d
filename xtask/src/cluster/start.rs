//! The order in which the parts of a cluster are started. Each is started as soon as what it needs at its start is
//! there, and all are waited for at the end.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use super::{
    build,
    folder::Locked,
    handle::Options,
    network::{self, SERVER},
    parts::{
        Node, Parts, add_fake_nodes, start_api_server, start_controllers, start_knative, start_registry,
        start_storage, wait_for_nodes, wait_for_registry, wait_for_storage, write_credentials,
    },
    system::{Cgroups, Sandbox, pretend},
};

/// Programs that a cluster is started from.
#[derive(Debug)]
pub(super) struct Programs {
    /// The folder of those that were built.
    pub(super) bin: PathBuf,
    pub(super) kwok: Option<PathBuf>,
    /// The folder of the programs of Knative.
    pub(super) knative: Option<PathBuf>,
    pub(super) weed: PathBuf,
}

/// Starts a cluster in an empty folder.
pub(super) fn start(locked: &Locked, options: &Options, programs: &Programs) -> Result<Parts, String> {
    let folder = locked.folder();
    prepare(locked, programs)?;
    write_credentials(folder, options.nodes)?;
    let (pause, image) = (folder.join("pause"), folder.join("pause.tar"));
    build::program(&pause)?;
    build::image(&pause, &image)?;
    let sandbox = Sandbox::start(&pause, folder.path(), &folder.init())?;
    pretend(&sandbox, &folder.join("machine"))?;
    sandbox.run("ip", ["link", "set", "lo", "up"])?;
    for address in (1..=options.nodes).map(network::node).chain([SERVER]) {
        sandbox.run("ip", ["address", "add", &format!("{address}/32"), "dev", "lo"])?;
    }
    let parts = Parts { folder: folder.clone(), sandbox };
    start_storage(&parts, &programs.weed)?;
    start_api_server(&parts)?;
    start_registry(&parts)?;
    let cgroups = Cgroups::of_this_machine()?;
    let nodes = || (1..=options.nodes).map(|number| Node::new(&parts, number));
    nodes().try_for_each(|node| node.start_containerd(&cgroups))?;
    start_controllers(&parts)?;
    nodes().try_for_each(Node::start_kubelet)?;
    wait_for_nodes(&parts, options.nodes.into())?;
    if let Some(kwok) = &programs.kwok {
        add_fake_nodes(&parts, kwok, options.fake_nodes)?;
    }
    wait_for_registry(&parts)?;
    if let Some(knative) = &programs.knative {
        start_knative(&parts, knative)?;
    }
    wait_for_storage(&parts)?;
    Ok(parts)
}

fn prepare(locked: &Locked, programs: &Programs) -> Result<(), String> {
    let folder = locked.folder();
    for name in ["logs", "processes"] {
        fs::create_dir_all(folder.join(name)).map_err(|error| format!("cannot make `{name}`: {error}"))?;
    }
    symlink(&programs.bin, folder.join("bin")).map_err(|error| format!("cannot make `bin`: {error}"))
}
