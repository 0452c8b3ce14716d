//! The image of the program: how it is named, made and pushed.

use std::path::Path;

use lithops_core::{
    compute::{Check, Package, Runtime, RuntimeId, RuntimeSpec, Severity},
    error::{Error, ErrorKind, Result},
};
use lithops_image::{Image, ImageBuilder, Login, Logins, Output, Pushed, Reference, Repository};

use crate::{
    config::{K8sConfig, RegistryConfig},
    doctor::{bad, fine},
};

/// The last part of the names of images. The tag tells programs apart.
const NAME: &str = "lithops-runtime";
/// The registry where none is named.
const DOCKER_HUB: &str = "docker.io";
/// Where the program is in its image.
const PROGRAM: &str = "/lithops/worker";

/// The program that a runtime is to be made of.
///
/// # Errors
/// When none is named.
pub(crate) fn program<'a>(config: &'a K8sConfig, spec: &'a RuntimeSpec) -> Result<&'a Path> {
    if !spec.artifact.as_os_str().is_empty() {
        return Ok(&spec.artifact);
    }
    config.artifact.as_deref().ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, "the program that is to be in the image is not named").with_hint(
            "write `--worker target/release/my-program`, or `k8s: {artifact: target/release/my-program}`; a job makes the \
             image of its own program by itself",
        )
    })
}

/// Makes an image of a program and pushes it, unless it is there already.
///
/// # Errors
/// When the program cannot be in an image, or the registry refuses it.
pub(crate) async fn push(config: &K8sConfig, program: &Path) -> Result<Pushed> {
    let repository = open(&config.registry).await?;
    let image = make(config, program).await?;
    let pushed = repository.push(&image, Some(&image.tag())).await?;
    tracing::info!(image = %pushed.reference, bytes = pushed.bytes, requests = pushed.requests, "pushed");
    Ok(pushed)
}

/// Writes an image of a program into a file of the current folder.
pub(crate) async fn build(config: &K8sConfig, spec: &RuntimeSpec) -> Result<Package> {
    let image = make(config, program(config, spec)?).await?;
    let name = named(&config.registry).unwrap_or_else(|_| format!("localhost/{NAME}"));
    let path = std::env::current_dir()?.join(format!("{}.tar", spec.name));
    image
        .write(&Output::Archive(path.clone()), &format!("{}:{}", without_scheme(&name), image.tag()))
        .await?;
    let size = std::fs::metadata(&path)?.len();
    Ok(Package { path, size })
}

/// The images that were pushed, by their tags.
pub(crate) async fn list(config: &K8sConfig) -> Result<Vec<Runtime>> {
    let repository = open(&config.registry).await?;
    let tags = repository.tags().await?;
    let name = |tag: &String| RuntimeId(repository.reference().with(Some(tag), None).to_string());
    Ok(tags.iter().map(|tag| Runtime { id: name(tag), memory: None }).collect())
}

/// Deletes an image, by the name that [`list`] and [`push`] give.
pub(crate) async fn delete(config: &K8sConfig, id: &RuntimeId) -> Result<()> {
    let repository = open(&config.registry).await?;
    let reference: Reference = id.0.parse()?;
    let (ours, theirs) = (repository.reference(), &reference);
    if (ours.registry(), ours.repository()) != (theirs.registry(), theirs.repository()) {
        let problem = format!("`{id}` is no image of `{ours}`");
        return Err(Error::new(ErrorKind::InvalidInput, problem)
            .with_hint("`lithops runtime list` says which are there"));
    }
    let missing = || {
        Error::new(ErrorKind::NotFound, format!("there is no image `{id}`"))
            .with_hint("`lithops runtime list` says which are there")
    };
    let digest = match (reference.tag(), reference.digest()) {
        (_, Some(digest)) => digest,
        (tag, None) => repository.digest(tag.unwrap_or("latest")).await?.ok_or_else(missing)?,
    };
    match repository.delete(digest).await? {
        true => Ok(()),
        false => Err(missing()),
    }
}

/// What `lithops doctor` says of the image.
pub(crate) async fn check(config: &K8sConfig) -> Vec<Check> {
    if let Some(runtime) = &config.runtime {
        return vec![fine(format!(
            "the workers' image is `{runtime}`, and fetches the program from the storage"
        ))];
    }
    let name = match named(&config.registry) {
        Ok(name) => name,
        Err(error) => return vec![bad(&error)],
    };
    let asked = async { open(&config.registry).await?.tags().await };
    match asked.await {
        Ok(tags) => {
            vec![fine(format!("the registry has {} images of `{}`", tags.len(), without_scheme(&name)))]
        }
        Err(error) => vec![Check { severity: Severity::Error, ..bad(&error) }],
    }
}

async fn make(config: &K8sConfig, program: &Path) -> Result<Image> {
    let mut builder = ImageBuilder::new(program)
        .program_path(PROGRAM)
        .label("org.opencontainers.image.title", NAME)
        .label("lithops.version", env!("CARGO_PKG_VERSION"));
    if let Some(base) = &config.registry.base_image {
        let reference: Reference = base.parse()?;
        let repository = Repository::open(&reference, &logins(&config.registry)?).await?;
        builder = builder.base(repository.base(&reference, config.machine).await?);
    }
    let image = builder.build().await?;
    if image.machine() != config.machine {
        let problem = format!(
            "`{}` is a program for {}, and `runtime_arch` asks for {}",
            program.display(),
            image.machine(),
            config.machine
        );
        return Err(Error::new(ErrorKind::ConfigInvalid, problem)
            .with_hint("build the program for the processor of the nodes, and name it with `artifact`"));
    }
    Ok(image)
}

async fn open(registry: &RegistryConfig) -> Result<Repository> {
    let reference: Reference = named(registry)?.parse()?;
    Repository::open(&reference, &logins(registry)?).await
}

/// The repository of the program's images. On Docker Hub the user is a part of it.
fn named(registry: &RegistryConfig) -> Result<String> {
    let server = registry.server.as_deref().unwrap_or(DOCKER_HUB).trim_end_matches('/');
    match (without_scheme(server), &registry.user) {
        (DOCKER_HUB, Some(user)) => Ok(format!("{DOCKER_HUB}/{user}/{NAME}")),
        (DOCKER_HUB, None) => {
            let problem = "the image of the program must be pushed to a registry, and none is named";
            Err(Error::new(ErrorKind::ConfigInvalid, problem)
                .with_hint(
                    "write `k8s: {docker_server: registry.example.com/team}`, or `docker_user` for one on Docker Hub; or \
                     name an image with a `lithops-worker`: `k8s: {runtime: ..}`",
                )
                .with_context("key", "k8s.docker_server"))
        }
        _ => Ok(format!("{server}/{NAME}")),
    }
}

fn without_scheme(name: &str) -> &str {
    name.split_once("://").map_or(name, |(_, rest)| rest)
}

/// The login of the section comes before those that `docker login` has left.
fn logins(registry: &RegistryConfig) -> Result<Logins> {
    let logins = Logins::of_environment();
    let (Some(user), Some(password)) = (&registry.user, &registry.password) else { return Ok(logins) };
    let reference: Reference = named(registry)?.parse()?;
    Ok(logins.with(reference.registry(), Login::password(user, password)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(server: Option<&str>, user: Option<&str>) -> RegistryConfig {
        let text = |text: &str| text.to_owned();
        RegistryConfig { server: server.map(text), user: user.map(text), password: None, base_image: None }
    }

    #[test]
    fn the_name_of_an_image_has_the_registry_and_on_docker_hub_the_user() {
        for (server, user, wanted) in [
            (None, Some("me"), "docker.io/me/lithops-runtime"),
            (Some("docker.io"), Some("me"), "docker.io/me/lithops-runtime"),
            (
                Some("eu.pkg.dev/team/images/"),
                Some("oauth2accesstoken"),
                "eu.pkg.dev/team/images/lithops-runtime",
            ),
            (Some("http://10.0.0.1:5000"), None, "http://10.0.0.1:5000/lithops-runtime"),
        ] {
            assert_eq!(named(&registry(server, user)).expect("a name"), wanted);
        }
        let error = named(&registry(None, None)).expect_err("no registry");
        assert!(error.hint().is_some_and(|hint| hint.contains("docker_server")), "{error:?}");
    }
}
