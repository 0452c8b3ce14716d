//! The commands of `cargo xtask cluster`.

use std::{ffi::OsString, os::unix::process::CommandExt, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::{
    folder::Folder,
    handle::{Cluster, Options},
    parts::serve_names,
    status,
};

/// What to do with the cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Starts a cluster, which runs until `down`. The first one on a machine builds its programs, for some minutes.
    Up {
        /// Nodes, each of 64 CPUs, also where the machine has fewer.
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=100))]
        nodes: u8,
        /// Further nodes on which pods seem to run, with the taint `kwok.x-k8s.io/node`.
        #[arg(long, default_value_t = 0)]
        fake_nodes: u16,
        /// Runs Knative Serving in it. The first one on a machine builds its programs too.
        #[arg(long)]
        knative: bool,
        /// Installs missing packages of Debian.
        #[arg(long)]
        install: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Ends the cluster and removes all that it has made, also after an `up` that was interrupted.
    Down {
        #[command(flatten)]
        place: Place,
    },
    /// Shows each part of the cluster, and the nodes.
    Status {
        #[command(flatten)]
        place: Place,
    },
    /// Does something to the programs of a node that its pods must survive.
    Node {
        /// Stops or continues its kubelet, or starts its containerd anew.
        #[arg(value_enum)]
        what: NodeChange,
        /// The node, counted from 1.
        node: u8,
        #[command(flatten)]
        place: Place,
    },
    /// Answers for the names of Services, and passes connections to Knative's activator on: a part of the cluster.
    #[command(hide = true)]
    ServiceNames,
    /// Runs a command in the network of the cluster, with `KUBECONFIG` set and `kubectl` found.
    Run {
        #[command(flatten)]
        place: Place,
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, required = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

/// What is done to a node.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum NodeChange {
    /// Stops its kubelet: the node is lost after some seconds.
    StopKubelet,
    /// Lets its kubelet go on.
    ContinueKubelet,
    /// Ends its containerd and starts it again.
    RestartContainerd,
}

/// Where the cluster keeps its files.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The folder of the cluster; below the target folder by default.
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// Does what is wanted.
pub(crate) fn run(what: What) -> Result<(), String> {
    match what {
        What::Up { nodes, fake_nodes, knative, install, place } => {
            let options = Options { nodes, fake_nodes, knative, install, folder: place.folder, anew: false };
            Cluster::up(&options).map(|cluster| println!("{}", cluster.description()))
        }
        What::Down { place } => Folder::of(place.folder)?.locked()?.down(),
        What::Status { place } => {
            print!("{}", status::of(&Folder::of(place.folder)?)?);
            Ok(())
        }
        What::Node { what, node, place } => {
            let cluster = Cluster::running(place.folder)?;
            match what {
                NodeChange::StopKubelet => cluster.stop_kubelet(node),
                NodeChange::ContinueKubelet => cluster.continue_kubelet(node),
                NodeChange::RestartContainerd => cluster.restart_containerd(node),
            }
        }
        What::ServiceNames => serve_names(),
        What::Run { place, command } => {
            let cluster = Cluster::running(place.folder)?;
            let [program, arguments @ ..] = command.as_slice() else { return Ok(()) };
            let error = cluster.command(program).args(arguments).exec();
            Err(format!("cannot start `nsenter`: {error}"))
        }
    }
}
