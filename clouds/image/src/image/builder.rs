//! [`ImageBuilder`]: what an image is made of.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use lithops_core::{
    artifact::{BinaryRequirements, Machine, without_debug_information},
    digest::Digest,
    error::{Error, ErrorKind, Result},
    regular,
};
use serde_json::json;

use super::{
    BaseLayer, Config, Descriptor, Image, Layer, LayerContent,
    documents::{Execution, RootFs},
    known::{self, Known},
    layer::pack,
    oci_digest,
    system::{CERTIFICATES, USER, add_certificates, add_system},
    tree::Tree,
    types,
};
use crate::{
    closure::{Closure, Root, is_elf},
    registry::BaseImage,
};

/// The most bytes of a program, 4 GiB.
const LARGEST: u64 = 4 << 30;
/// The time that the image says it was made at: the same program must make the same image.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// What an image is made of: a program with its closure, and files beside it.
///
/// The image has one layer: the program without debug information, its loader, its libraries and theirs, the root
/// certificates of this machine, a user and `/tmp`. With a [base image](Self::base) loader and libraries are those of
/// the base, and the layer lies on top of its layers.
///
/// Libraries that the program opens while it runs (`dlopen`) are not known from its file: add them with
/// [`with`](Self::with), or take a base image that has them.
#[derive(Debug, Clone)]
pub struct ImageBuilder {
    program: PathBuf,
    program_path: String,
    files: Vec<(PathBuf, String)>,
    library_folders: Vec<PathBuf>,
    newer_processors: bool,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    user: String,
    base: Option<BaseImage>,
}

impl ImageBuilder {
    /// An image of this program. The architecture of the image is that of the program.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            program_path: "/lithops/program".to_owned(),
            files: Vec::new(),
            library_folders: Vec::new(),
            newer_processors: false,
            args: Vec::new(),
            env: BTreeMap::new(),
            labels: BTreeMap::new(),
            user: USER.to_owned(),
            base: None,
        }
    }

    /// Where the program is in the image, which is also the entrypoint; otherwise `/lithops/program`.
    #[must_use]
    pub fn program_path(mut self, path: impl Into<String>) -> Self {
        self.program_path = path.into();
        self
    }

    /// Adds a file, or a folder with all that is in it, at a path of the image. A library or program that is added as a
    /// file brings its own closure.
    #[must_use]
    pub fn with(mut self, source: impl Into<PathBuf>, path: impl Into<String>) -> Self {
        self.files.push((source.into(), path.into()));
        self
    }

    /// Adds a folder of this machine in which libraries are looked for. It comes before the loader's cache, and after
    /// the folders that programs and libraries name themselves.
    #[must_use]
    pub fn library_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.library_folders.push(folder.into());
        self
    }

    /// Allows programs and libraries that need processors of level x86-64-v3 or v4. Otherwise they are refused, because
    /// they would be killed on other machines.
    #[must_use]
    pub fn newer_processors(mut self, allowed: bool) -> Self {
        self.newer_processors = allowed;
        self
    }

    /// Adds an argument that the program is started with when none is given.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets a variable of the program's environment. An image is no place for secrets: all who may read it see them.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Sets a label of the image.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// The user that the program runs as; otherwise 65532, which is none of a machine's own users.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = user.into();
        self
    }

    /// Lays the program on top of another image, which has the loader and the libraries.
    #[must_use]
    pub fn base(mut self, base: BaseImage) -> Self {
        self.base = Some(base);
        self
    }

    /// Makes the image. The layer is held in memory, compressed; when this process has made the same image before, it is
    /// made again where its bytes are asked for.
    ///
    /// # Errors
    /// A file or a library is missing or cannot be read, is for another architecture or a newer processor, or two files
    /// would be at one path.
    pub async fn build(self) -> Result<Image> {
        let built = tokio::task::spawn_blocking(move || self.build_now()).await;
        built.unwrap_or_else(|error| {
            Err(Error::new(ErrorKind::Unexpected, format!("the image was not made: {error}")))
        })
    }

    fn build_now(&self) -> Result<Image> {
        let program = read(&self.program)?;
        let key = self.key(&program);
        if let Some(known) = key.and_then(known::find) {
            return self.assemble(known, LayerContent::Known(Arc::new(self.clone())));
        }
        let (known, bytes) = self.pack(program)?;
        if let Some(key) = key {
            known::remember(key, &known);
        }
        self.assemble(known, LayerContent::Own(bytes))
    }

    /// By what the image is known in this process, unless it is made of files that may change. Loader and libraries are
    /// those of this machine: what was made with them before is as good.
    fn key(&self, program: &[u8]) -> Option<Digest> {
        let base = self.base.as_ref().map(|base| (&base.name, base.machine));
        let parts = (Digest::of(program), &self.program, &self.program_path, base);
        let parts = format!("{parts:?} {:?} {}", self.library_folders, self.newer_processors);
        self.files.is_empty().then(|| Digest::of(parts.as_bytes()))
    }

    /// The layer of an image that was known, packed again.
    pub(super) fn pack_again(&self, descriptor: &Descriptor) -> Result<Bytes> {
        let program = read(&self.program)?;
        let key = self.key(&program);
        let (known, bytes) = self.pack(program)?;
        if oci_digest(&known.digest) == descriptor.digest {
            return Ok(bytes);
        }
        key.inspect(known::forget);
        let problem = format!("`{}` or a library of it has changed meanwhile", self.program.display());
        Err(Error::new(ErrorKind::InvalidInput, problem).with_hint("try again"))
    }

    /// Finds what is in the layer, and packs it.
    fn pack(&self, program: Bytes) -> Result<(Known, Bytes)> {
        let name = self.program.display().to_string();
        let machine = BinaryRequirements::of(&program, &name)?.machine;
        let mut tree = Tree::default();
        let smaller = without_debug_information(&program).map_or_else(|| program.clone(), Bytes::from);
        tree.add_bytes(&self.program_path, smaller, 0o755)?;
        for (source, path) in &self.files {
            tree.add_path(source, path)?;
        }
        let mut env = BTreeMap::new();
        match &self.base {
            None => {
                self.add_closure(&mut tree, program, machine)?;
                add_system(&mut tree)?;
                add_certificates(&mut tree, CERTIFICATES, &mut env)?;
            }
            Some(base) if base.machine != machine => {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("`{name}` was built for {machine}, and `{}` is for {}", base.name, base.machine),
                )
                .with_hint(format!(
                    "build it with `cargo build --release --target {}`, or name another base image",
                    base.machine.target()
                )));
            }
            Some(base) if base.has_variable("SSL_CERT_FILE") => {}
            // The folder of the base may be a link, which a file of another layer would replace.
            Some(_) => add_certificates(&mut tree, "/lithops/ca-certificates.crt", &mut env)?,
        }
        let packed = pack(&tree)?;
        let (digest, size) = (Digest::of(&packed.bytes), packed.bytes.len() as u64);
        Ok((Known { diff_id: packed.diff_id, digest, size, machine, env }, packed.bytes))
    }

    /// Adds loader and libraries of the program, and of what was added as a file.
    fn add_closure(&self, tree: &mut Tree, program: Bytes, machine: Machine) -> Result<()> {
        let mut roots =
            vec![Root { path: self.program.clone(), place: self.program_path.clone(), bytes: program }];
        for (source, path) in self.files.iter().filter(|(source, _)| source.is_file()) {
            let bytes = read(source)?;
            if is_elf(&bytes) {
                roots.push(Root { path: source.clone(), place: path.clone(), bytes });
            }
        }
        let closure = Closure::of(&roots, machine, &self.library_folders, self.newer_processors)?;
        for folder in &closure.folders {
            tree.add_folder(folder, 0o755)?;
        }
        for (place, bytes) in closure.files {
            // The caller's own file at that place is the library that is meant.
            if !self.files.iter().any(|(_, path)| *path == place) {
                tree.add_bytes(&place, bytes, 0o755)?;
            }
        }
        closure.cache.map_or(Ok(()), |cache| tree.add_bytes("/etc/ld.so.cache", cache, 0o644))
    }

    fn assemble(&self, layer: Known, content: LayerContent) -> Result<Image> {
        let Known { machine, mut env, .. } = layer;
        env.extend(self.env.clone());
        let mut config = match &self.base {
            Some(base) => base.config.clone(),
            None => Config {
                rootfs: RootFs { kind: "layers".to_owned(), diff_ids: Vec::new() },
                others: [("created".to_owned(), json!(CREATED))].into(),
                ..Config::default()
            },
        };
        config.architecture = architecture(machine).to_owned();
        config.os = "linux".to_owned();
        config.rootfs.diff_ids.push(oci_digest(&layer.diff_id));
        config.history.push(json!({ "created": CREATED, "created_by": "lithops" }));
        let before = config.config;
        let mut variables = before.env.unwrap_or_default();
        variables.retain(|one| !env.contains_key(one.split('=').next().unwrap_or_default()));
        variables.extend(env.iter().map(|(name, value)| format!("{name}={value}")));
        let mut labels = before.labels.unwrap_or_default();
        labels.extend(self.labels.clone());
        config.config = Execution {
            user: Some(self.user.clone()),
            env: (!variables.is_empty()).then_some(variables),
            entrypoint: Some(vec![self.program_path.clone()]),
            // Arguments of the base are for the program of the base.
            cmd: (!self.args.is_empty()).then(|| self.args.clone()),
            working_dir: before.working_dir.or_else(|| Some("/".to_owned())),
            labels: (!labels.is_empty()).then_some(labels),
            others: before.others,
        };
        let base = self.base.iter().flat_map(|base| base.layers.iter().map(move |layer| (base, layer)));
        let mut layers: Vec<_> = base
            .map(|(base, descriptor)| Layer {
                descriptor: own_type(descriptor),
                content: LayerContent::Base(BaseLayer {
                    repository: base.repository.clone(),
                    descriptor: descriptor.clone(),
                }),
            })
            .collect();
        let descriptor = Descriptor {
            digest: oci_digest(&layer.digest),
            size: layer.size,
            ..Descriptor::of(types::LAYER, &[])
        };
        layers.push(Layer { descriptor, content });
        Image::new(&config, layers, machine)
    }
}

/// How OCI names an architecture.
pub(crate) fn architecture(machine: Machine) -> &'static str {
    match machine {
        Machine::X86_64 => "amd64",
        Machine::Arm64 => "arm64",
    }
}

/// The descriptor of a base's layer in a manifest of OCI.
fn own_type(descriptor: &Descriptor) -> Descriptor {
    let mut own = descriptor.clone();
    if own.media_type == types::DOCKER_LAYER {
        own.media_type = types::LAYER.to_owned();
    }
    own
}

pub(super) fn read(path: &Path) -> Result<Bytes> {
    regular::read(path, LARGEST).map(Bytes::from).map_err(|error| {
        let kind = Error::from(std::io::Error::from(error.kind())).kind();
        Error::new(kind, format!("cannot read `{}`: {error}", path.display()))
            .with_hint("build it, or name the file that was built")
            .with_source(error)
    })
}
