//! The image of the program: how it is named, made and pushed.

use std::path::{Path, PathBuf};

use lithops_core::{
    artifact::Machine,
    compute::{Check, Package, Runtime, RuntimeId, RuntimeSpec, Severity},
    config::Section,
    error::{Error, ErrorKind, Result},
};
use lithops_image::{Image, ImageBuilder, Login, Logins, Output, Pushed, Reference, Repository};

use crate::{
    checks::{bad, fine},
    values,
};

/// The last part of the names of images. The tag tells programs apart.
const NAME: &str = "lithops-runtime";
/// The registry where none is named.
const DOCKER_HUB: &str = "docker.io";
/// Where the program is in its image.
const PROGRAM: &str = "/lithops/worker";

/// Where the image of the program is pushed to.
#[derive(Clone)]
pub struct Registry {
    /// The registry, with a path if it wants one.
    pub server: Option<String>,
    /// The user of the registry.
    pub user: Option<String>,
    /// The password of that user.
    pub password: Option<String>,
    /// The image that the program's image is built upon.
    pub base_image: Option<String>,
}

impl Registry {
    /// The registry's host, the user and the password; `None` without a password.
    #[must_use]
    pub fn login(&self) -> Option<(&str, &str, &str)> {
        let (user, password) = (self.user.as_deref()?, self.password.as_deref()?);
        let server = without_scheme(self.server.as_deref().unwrap_or(DOCKER_HUB));
        let host = server.split('/').next().unwrap_or(server);
        // The name by which nodes know Docker Hub.
        Some((if host == DOCKER_HUB { "https://index.docker.io/v1/" } else { host }, user, password))
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A password is among the values.
        f.debug_struct("Registry").field("server", &self.server).finish_non_exhaustive()
    }
}

/// The images of workers: how they are named, made and pushed.
#[derive(Debug, Clone)]
pub struct Images {
    /// The section of the configuration that this is from.
    pub section: &'static str,
    /// An image with `lithops-worker`; without one, an image of the program.
    pub runtime: Option<String>,
    /// The processor of the nodes.
    pub machine: Machine,
    /// Where images are pushed to.
    pub registry: Registry,
    /// The program that has the functions, when it is not the one that runs.
    pub artifact: Option<PathBuf>,
}

impl Images {
    /// Reads the keys `runtime`, `runtime_arch`, `base_image`, `artifact` and those that begin with `docker_`.
    ///
    /// # Errors
    /// When a value cannot be what it should be.
    pub fn read(name: &'static str, section: Section<'_>) -> Result<Self> {
        let text = |key: &str| -> Result<Option<String>> { Ok(section.string(key)?.map(str::to_owned)) };
        let machine = match section.one_of("runtime_arch", &["amd64", "arm64"])? {
            Some("arm64") => Machine::Arm64,
            Some(_) => Machine::X86_64,
            None => Machine::here(),
        };
        Ok(Self {
            section: name,
            runtime: values::image(section, "runtime")?,
            machine,
            registry: Registry {
                server: text("docker_server")?,
                user: text("docker_user")?,
                password: text("docker_password")?,
                base_image: values::image(section, "base_image")?,
            },
            artifact: section.existing("artifact", "name the compiled program, or leave the key out")?,
        })
    }

    /// The name that Kubernetes has for the processor.
    #[must_use]
    pub fn arch(&self) -> &'static str {
        match self.machine {
            Machine::Arm64 => "arm64",
            Machine::X86_64 => "amd64",
        }
    }

    /// The program that a runtime is to be made of.
    ///
    /// # Errors
    /// When none is named.
    pub fn program<'a>(&'a self, spec: &'a RuntimeSpec) -> Result<&'a Path> {
        if !spec.artifact.as_os_str().is_empty() {
            return Ok(&spec.artifact);
        }
        self.artifact.as_deref().ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, "the program that is to be in the image is not named").with_hint(
            format!(
                "write `--worker target/release/my-program`, or `{}: {{artifact: target/release/my-program}}`; a job makes \
                 the image of its own program by itself",
                self.section
            ),
        )
    })
    }

    /// Makes an image of a program and pushes it, unless it is there already.
    ///
    /// # Errors
    /// When the program cannot be in an image, or the registry refuses it.
    pub async fn push(&self, program: &Path) -> Result<Pushed> {
        let repository = self.open().await?;
        let image = self.make(program).await?;
        let pushed = repository.push(&image, Some(&image.tag())).await?;
        tracing::info!(image = %pushed.reference, bytes = pushed.bytes, requests = pushed.requests, "pushed");
        Ok(pushed)
    }

    /// Writes an image of a program to where the runtime is to be written, or into a file of the current folder.
    ///
    /// # Errors
    /// When the program cannot be in an image, or the file cannot be written.
    pub async fn build(&self, spec: &RuntimeSpec) -> Result<Package> {
        let output = match &spec.output {
            Some(text) => text.parse()?,
            None => Output::Archive(std::env::current_dir()?.join(format!("{}.tar", spec.name))),
        };
        let image = self.make(self.program(spec)?).await?;
        let name = self.named().unwrap_or_else(|_| format!("localhost/{NAME}"));
        image.write(&output, &format!("{}:{}", without_scheme(&name), image.tag())).await?;
        Ok(Package { path: output.path().to_owned(), size: output.size()? })
    }

    /// The images that were pushed, by their tags.
    ///
    /// # Errors
    /// When the registry refuses it.
    pub async fn list(&self) -> Result<Vec<Runtime>> {
        let repository = self.open().await?;
        let tags = repository.tags().await?;
        let name = |tag: &String| RuntimeId(repository.reference().with(Some(tag), None).to_string());
        Ok(tags.iter().map(|tag| Runtime { id: name(tag), memory: None }).collect())
    }

    /// Deletes an image, by the name that [`list`](Self::list) and [`push`](Self::push) give.
    ///
    /// # Errors
    /// When there is none, or the registry refuses it.
    pub async fn delete(&self, id: &RuntimeId) -> Result<()> {
        let repository = self.open().await?;
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
    pub async fn check(&self) -> Vec<Check> {
        if let Some(runtime) = &self.runtime {
            return vec![fine(format!(
                "the workers' image is `{runtime}`, and fetches the program from the storage"
            ))];
        }
        let name = match self.named() {
            Ok(name) => name,
            Err(error) => return vec![bad(&error)],
        };
        let asked = async { self.open().await?.tags().await };
        match asked.await {
            Ok(tags) => {
                vec![fine(format!("the registry has {} images of `{}`", tags.len(), without_scheme(&name)))]
            }
            Err(error) => vec![Check { severity: Severity::Error, ..bad(&error) }],
        }
    }

    async fn make(&self, program: &Path) -> Result<Image> {
        let mut builder = ImageBuilder::new(program)
            .program_path(PROGRAM)
            .label("org.opencontainers.image.title", NAME)
            .label("lithops.version", env!("CARGO_PKG_VERSION"));
        if let Some(base) = &self.registry.base_image {
            let reference: Reference = base.parse()?;
            let repository = Repository::open(&reference, &self.logins()?).await?;
            builder = builder.base(repository.base(&reference, self.machine).await?);
        }
        let image = builder.build().await?;
        if image.machine() != self.machine {
            let problem = format!(
                "`{}` is a program for {}, and `runtime_arch` asks for {}",
                program.display(),
                image.machine(),
                self.machine
            );
            return Err(Error::new(ErrorKind::ConfigInvalid, problem)
                .with_hint("build the program for the processor of the nodes, and name it with `artifact`"));
        }
        Ok(image)
    }

    async fn open(&self) -> Result<Repository> {
        let reference: Reference = self.named()?.parse()?;
        Repository::open(&reference, &self.logins()?).await
    }

    /// The repository of the program's images. On Docker Hub the user is a part of it.
    fn named(&self) -> Result<String> {
        let server = self.registry.server.as_deref().unwrap_or(DOCKER_HUB).trim_end_matches('/');
        match (without_scheme(server), &self.registry.user) {
            (DOCKER_HUB, Some(user)) => Ok(format!("{DOCKER_HUB}/{user}/{NAME}")),
            (DOCKER_HUB, None) => {
                let problem = "the image of the program must be pushed to a registry, and none is named";
                Err(Error::new(ErrorKind::ConfigInvalid, problem)
                .with_hint(format!(
                    "write `{section}: {{docker_server: registry.example.com/team}}`, or `docker_user` for one on Docker \
                     Hub; or name an image with a `lithops-worker`: `{section}: {{runtime: ..}}`",
                    section = self.section
                ))
                .with_context("key", format!("{}.docker_server", self.section)))
            }
            _ => Ok(format!("{server}/{NAME}")),
        }
    }

    /// The login of the section comes before those that `docker login` has left.
    fn logins(&self) -> Result<Logins> {
        let logins = Logins::of_environment();
        let (Some(user), Some(password)) = (&self.registry.user, &self.registry.password) else {
            return Ok(logins);
        };
        let reference: Reference = self.named()?.parse()?;
        Ok(logins.with(reference.registry(), Login::password(user, password)))
    }
}

fn without_scheme(name: &str) -> &str {
    name.split_once("://").map_or(name, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(server: Option<&str>, user: Option<&str>) -> Images {
        let text = |text: &str| text.to_owned();
        let registry =
            Registry { server: server.map(text), user: user.map(text), password: None, base_image: None };
        Images { section: "k8s", runtime: None, machine: Machine::here(), registry, artifact: None }
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
            assert_eq!(images(server, user).named().expect("a name"), wanted);
        }
        let error = images(None, None).named().expect_err("no registry");
        assert!(error.hint().is_some_and(|hint| hint.contains("docker_server")), "{error:?}");
    }
}
