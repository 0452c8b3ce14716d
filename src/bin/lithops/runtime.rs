//! `lithops runtime`: manages runtimes, which are deployed on a backend so that workers can start there.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use lithops::config::{Config, Environment, Origin, Sources, Value};
use lithops_core::{
    compute::{Runtime as Deployed, RuntimeId, RuntimeSpec},
    registry::Connected,
    runtime::block_on,
};

use crate::print;

/// Builds, deploys, lists and deletes runtimes.
///
/// A job deploys the runtime that it needs by itself. These commands deploy a runtime in advance, or delete
/// it afterwards.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  lithops runtime deploy --memory 1769         one vCPU for each instance
  lithops runtime build --output oci:image     writes the image into a folder
  lithops runtime list                         what is deployed?
  lithops runtime update                       deploys, and deletes what it replaces
  lithops runtime delete --all                 deletes everything of the namespace")]
pub(crate) enum Runtime {
    /// Builds the package that would be deployed, and prints where it is.
    Build(Building),
    /// Deploys a runtime; one that is already deployed is left unchanged.
    Deploy(What),
    /// Deploys a runtime, and deletes those deployed before with the same memory.
    Update(What),
    /// Lists the deployed runtimes.
    List(Listing),
    /// Deletes deployed runtimes.
    Delete(Delete),
}

/// The runtime that is to be built or deployed.
#[derive(Debug, Args)]
pub(crate) struct What {
    /// A name of your own for the runtime.
    #[arg(default_value = "")]
    name: String,

    /// The `lithops-worker` program, if not the configured one or the one that is found.
    #[arg(long, value_name = "FILE")]
    worker: Option<PathBuf>,

    /// The memory of a worker in MB, if not the configured one.
    #[arg(long, value_name = "MB")]
    memory: Option<u64>,

    #[command(flatten)]
    place: Where,
}

/// The runtime that is to be built, and where.
#[derive(Debug, Args)]
pub(crate) struct Building {
    #[command(flatten)]
    what: What,

    /// Where an image is written: `oci:DIR`, a folder for `skopeo` and others, or `tar:FILE`, for `ctr images import`,
    /// `podman load` and `docker load`.
    #[arg(short, long, value_name = "oci:DIR|tar:FILE")]
    output: Option<String>,
}

/// The backend of the runtimes.
#[derive(Debug, Args)]
pub(crate) struct Where {
    /// The backend, if not the configured one.
    #[arg(short, long, value_name = "NAME")]
    backend: Option<String>,

    /// The configuration file, if not the one that is found.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The options of `lithops runtime list`.
#[derive(Debug, Args)]
pub(crate) struct Listing {
    /// Prints JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    place: Where,
}

/// The runtimes that are to be deleted.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The name of the runtime, as `lithops runtime list` prints it.
    #[arg(required_unless_present = "all")]
    name: Option<String>,

    /// Deletes all listed runtimes.
    #[arg(long, conflicts_with = "name")]
    all: bool,

    #[command(flatten)]
    place: Where,
}

/// Connects to the backend of a configuration; `backend` names another one than the configuration does.
pub(crate) async fn connected(
    config: Option<PathBuf>,
    backend: Option<String>,
) -> lithops::Result<Connected> {
    connected_with(config, backend, None).await
}

/// The same; `storage` names another storage than the configuration does.
pub(crate) async fn connected_with(
    config: Option<PathBuf>,
    backend: Option<String>,
    storage: Option<String>,
) -> lithops::Result<Connected> {
    let sources = Sources { file: config, yaml: None };
    let mut config = Config::load(&sources, &Environment::from_process())?;
    if let Some(backend) = backend {
        config.set("lithops", "backend", Value::from(backend), Origin::Builder("backend"));
    }
    if let Some(storage) = storage {
        config.set("lithops", "storage", Value::from(storage), Origin::Builder("storage"));
    }
    Connected::to(config).await
}

impl Runtime {
    pub(crate) fn run(self) -> lithops::Result<ExitCode> {
        block_on(async {
            match self {
                Self::Build(building) => building.build().await,
                Self::Deploy(what) => what.deploy().await.map(drop),
                Self::Update(what) => what.update().await,
                Self::List(listing) => listing.list().await,
                Self::Delete(delete) => delete.delete().await,
            }
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl What {
    fn spec(&self) -> RuntimeSpec {
        let mut spec = RuntimeSpec::new(&self.name, self.worker.clone().unwrap_or_default());
        spec.memory = self.memory;
        spec
    }

    async fn connect(&self) -> lithops::Result<Connected> {
        connected(self.place.config.clone(), self.place.backend.clone()).await
    }

    async fn deploy(&self) -> lithops::Result<(Connected, Deployed)> {
        let connected = self.connect().await?;
        let runtime = connected.backend.deploy_runtime(&self.spec()).await?;
        print::line(line(&runtime))?;
        Ok((connected, runtime))
    }

    async fn update(self) -> lithops::Result<()> {
        let (connected, deployed) = self.deploy().await?;
        // A runtime with another memory is a separate choice, not an older version of this one.
        let all = connected.backend.list_runtimes().await?;
        for older in all.iter().filter(|other| other.memory == deployed.memory && other.id != deployed.id) {
            connected.backend.delete_runtime(&older.id).await?;
            print::remark(&format!("deleted {}", older.id));
        }
        Ok(())
    }
}

impl Building {
    async fn build(self) -> lithops::Result<()> {
        let mut spec = self.what.spec();
        spec.output = self.output;
        let package = self.what.connect().await?.backend.build_runtime(&spec).await?;
        print::line(format_args!("{}  {} bytes", package.path.display(), package.size))
    }
}

impl Listing {
    async fn list(self) -> lithops::Result<()> {
        let backend = connected(self.place.config, self.place.backend).await?.backend;
        let all = backend.list_runtimes().await?;
        if self.json {
            return print::json(&all);
        }
        if all.is_empty() {
            print::remark("nothing is deployed");
        }
        all.iter().try_for_each(|runtime| print::line(line(runtime)))
    }
}

impl Delete {
    async fn delete(self) -> lithops::Result<()> {
        let backend = connected(self.place.config, self.place.backend).await?.backend;
        let names = match self.name {
            Some(name) => vec![RuntimeId(name)],
            None => backend.list_runtimes().await?.into_iter().map(|runtime| runtime.id).collect(),
        };
        for name in names {
            backend.delete_runtime(&name).await?;
            print::line(format_args!("deleted {name}"))?;
        }
        Ok(())
    }
}

fn line(runtime: &Deployed) -> String {
    let memory = runtime.memory.map_or_else(String::new, |memory| format!("  {memory} MB"));
    format!("{}{memory}", runtime.id)
}
