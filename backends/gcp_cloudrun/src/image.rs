//! The image of the service: what is in it, and where it is pushed.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use lithops_core::{
    artifact::{Artifact, Glibc, Machine, StoredProgram, Target},
    compute::{Package, RuntimeSpec},
    error::{Error, ErrorKind, Result},
};
use lithops_image::{Image, ImageBuilder, Login, Logins, Output, Pushed, Reference, Repository};
use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    admin::{Admin, Api},
    config::GcpCloudRunConfig,
    deploy,
};

/// The last part of the names of images. The tag tells programs apart.
const NAME: &str = "lithops-runtime";
/// Where the program is in its image.
const PROGRAM: &str = "/lithops/worker";
/// A text that is in every program that can serve HTTP. Unlike a symbol it is not stripped by any build.
const MARK: &str = concat!("lithops-worker/", env!("CARGO_PKG_VERSION"), "/http");

/// How long the repository may take to be there that another client makes, and the first pause between two looks.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(250);

/// What runs in instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// The user's program, which plays the worker itself.
    Program(PathBuf),
    /// A `lithops-worker`, which fetches the program.
    Worker(PathBuf),
    /// An image that has a `lithops-worker`.
    Given(String),
}

/// What was pushed, and the program in it.
#[derive(Debug, Clone)]
pub(crate) struct Shipped {
    pub(crate) image: String,
    pub(crate) program: Option<StoredProgram>,
}

impl Content {
    /// What the configuration asks for; else the program `own`.
    pub(crate) fn of(config: &GcpCloudRunConfig, own: &Path) -> Self {
        match (&config.runtime, &config.worker) {
            (Some(image), _) => Self::Given(image.clone()),
            (None, Some(worker)) => Self::Worker(worker.clone()),
            (None, None) => Self::Program(config.artifact.clone().unwrap_or_else(|| own.to_owned())),
        }
    }

    /// What a runtime is made of: a program that is named, because the one that asks has no functions.
    ///
    /// # Errors
    /// None is named.
    pub(crate) fn of_spec(config: &GcpCloudRunConfig, spec: &RuntimeSpec) -> Result<Self> {
        if !spec.artifact.as_os_str().is_empty() {
            return Ok(Self::Program(spec.artifact.clone()));
        }
        if config.runtime.is_none() && config.worker.is_none() && config.artifact.is_none() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "the program that is to be in the image is not named",
            )
            .with_hint(
                "write `--worker target/release/my-program`, or `gcp_cloudrun: {artifact: target/release/my-program}`; a \
                 job deploys its own program by itself",
            ));
        }
        Ok(Self::of(config, Path::new("")))
    }
}

/// Programs of every glibc can be deployed: the image has that of this machine.
pub(crate) fn target() -> Target {
    Target { machine: Machine::X86_64, glibc: Glibc(u32::MAX, 0), name: "Cloud Run" }
}

/// Makes an image and pushes it, unless it is there already.
///
/// # Errors
/// When the program cannot be in an image, or the registry refuses it.
pub(crate) async fn ship(admin: &Admin, config: &GcpCloudRunConfig, content: &Content) -> Result<Shipped> {
    let (path, is_program) = match content {
        Content::Given(image) => return Ok(Shipped { image: image.clone(), program: None }),
        Content::Program(path) => (path, true),
        Content::Worker(path) => (path, false),
    };
    let artifact = Artifact::read(path, &target()).await?;
    if !can_serve(&artifact.bytes) {
        let problem = format!("`{}` cannot serve HTTP, or is of another version", path.display());
        return Err(Error::new(ErrorKind::InvalidInput, problem)
            .with_hint("build the program with the feature `gcp_cloudrun` of `lithops`"));
    }
    let name = named(admin, config);
    if config.registry.server.is_none() {
        make_repository(admin, config).await?;
    }
    let reference: Reference = name.parse()?;
    let logins = logins(admin, config, &reference).await?;
    let repository = Repository::open(&reference, &logins).await?;
    let image = make(config, path).await?;
    let pushed: Pushed = repository.push(&image, Some(&image.tag())).await?;
    tracing::info!(image = %pushed.reference, uploads = pushed.uploads, bytes = pushed.bytes, "pushed");
    // By its digest alone, so that another push under the tag does not change the service.
    let image = repository.reference().with(None, Some(pushed.digest)).to_string();
    Ok(Shipped { image, program: is_program.then(|| StoredProgram::of(&artifact)) })
}

/// Writes an image into a file of the current folder.
pub(crate) async fn build(
    config: &GcpCloudRunConfig,
    content: &Content,
    spec: &RuntimeSpec,
) -> Result<Package> {
    let (Content::Program(path) | Content::Worker(path)) = content else {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "`runtime` names an image, and nothing is to be built",
        )
        .with_hint("leave `runtime` out to build one"));
    };
    let output = match &spec.output {
        Some(text) => text.parse()?,
        None => Output::Archive(std::env::current_dir()?.join(format!("{}.tar", spec.name))),
    };
    let image = make(config, path).await?;
    image.write(&output, &format!("localhost/{NAME}:{}", image.tag())).await?;
    Ok(Package { path: output.path().to_owned(), size: output.size()? })
}

fn can_serve(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, MARK.as_bytes()).is_some()
}

async fn make(config: &GcpCloudRunConfig, program: &Path) -> Result<Image> {
    let mut builder = ImageBuilder::new(program)
        .program_path(PROGRAM)
        .label("org.opencontainers.image.title", NAME)
        .label("lithops.version", env!("CARGO_PKG_VERSION"));
    if let Some(base) = &config.registry.base_image {
        let reference: Reference = base.parse()?;
        let repository = Repository::open(&reference, &Logins::of_environment()).await?;
        builder = builder.base(repository.base(&reference, Machine::X86_64).await?);
    }
    let image = builder.build().await?;
    if image.machine() != Machine::X86_64 {
        let problem = format!("`{}` is a program for {}", program.display(), image.machine());
        return Err(Error::new(ErrorKind::ConfigInvalid, problem)
            .with_hint("Cloud Run has x86_64 alone: build the program for it, and name it with `artifact`"));
    }
    Ok(image)
}

/// The repository of the images.
pub(crate) fn named(admin: &Admin, config: &GcpCloudRunConfig) -> String {
    match &config.registry.server {
        Some(server) => format!("{}/{NAME}", server.trim_end_matches('/')),
        None => {
            format!(
                "{}/{}/{}/{NAME}",
                own_registry(admin, config),
                admin.project.replace(':', "/"),
                config.registry.repository
            )
        }
    }
}

/// The host of Artifact Registry; where another address stands for Google, it is there too.
fn own_registry(admin: &Admin, config: &GcpCloudRunConfig) -> String {
    config.endpoint.clone().unwrap_or_else(|| format!("{}-docker.pkg.dev", admin.region))
}

/// The access token opens the registries of Google; a login of the section comes before it.
async fn logins(admin: &Admin, config: &GcpCloudRunConfig, reference: &Reference) -> Result<Logins> {
    let logins = Logins::of_environment();
    let registry = reference.registry();
    if let Some((user, password)) = &config.registry.login {
        return Ok(logins.with(registry, Login::password(user, password)));
    }
    let is_own = config.registry.server.is_none();
    if is_own || registry.ends_with(".pkg.dev") || registry == "gcr.io" || registry.ends_with(".gcr.io") {
        let token = admin.tokens.access().await?;
        return Ok(logins.with(registry, Login::password("oauth2accesstoken", token)));
    }
    Ok(logins)
}

/// Makes the repository in Artifact Registry if there is none, and waits until it takes images.
async fn make_repository(admin: &Admin, config: &GcpCloudRunConfig) -> Result<()> {
    let name = &config.registry.repository;
    let looked_at = format!("{}/repositories/{name}", admin.location());
    let looking = format!("look at the repository `{name}`");
    let (begun, mut pause) = (Instant::now(), LOOK);
    loop {
        match admin.get(Api::Registry, &looked_at, &looking).await {
            Err(error) if error.kind() == ErrorKind::NotFound && begun.elapsed() < PATIENCE => {}
            other => return other.map(drop),
        }
        let path = format!("{}/repositories?repositoryId={name}", admin.location());
        let body =
            json!({"format": "DOCKER", "description": "images of lithops", "labels": {"lithops": "1"}});
        let doing = format!("make the repository `{name}` in Artifact Registry");
        match admin.call(Api::Registry, Method::POST, &path, Some(&body), &doing).await {
            Ok(operation) => return deploy::finish(admin, Api::Registry, operation, &doing).await,
            // Another client makes it, and it may not be there yet.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}
