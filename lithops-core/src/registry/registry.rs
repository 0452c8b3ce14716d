//! [`Registry`]: the backends that this program has, built in, from crates, and from plugins.

use std::{borrow::Cow, collections::BTreeMap, fmt, ops::Deref, path::Path, sync::Arc};

use crate::{
    compute::{BackendDescriptor, BackendOptions, Capabilities, ComputeBackend},
    config::{self, Config},
    error::{Error, ErrorKind, Result},
};

/// A backend that a program has: its descriptor, and the plugin from which it was loaded, if any.
#[derive(Debug, Clone, Copy)]
pub struct Backend {
    descriptor: &'static BackendDescriptor,
    #[cfg(feature = "plugins")]
    plugin: Option<&'static crate::plugin::Plugin>,
}

impl Deref for Backend {
    type Target = BackendDescriptor;

    fn deref(&self) -> &BackendDescriptor {
        self.descriptor
    }
}

impl From<&'static BackendDescriptor> for Backend {
    fn from(descriptor: &'static BackendDescriptor) -> Self {
        Self {
            descriptor,
            #[cfg(feature = "plugins")]
            plugin: None,
        }
    }
}

impl Backend {
    /// The backend's capabilities under a configuration, without connecting.
    ///
    /// # Errors
    /// When the configuration is wrong.
    pub fn capabilities(&self, config: &Config) -> Result<Capabilities> {
        #[cfg(feature = "plugins")]
        if let Some(plugin) = self.plugin {
            return plugin.capabilities(config);
        }
        (self.descriptor.capabilities)(config)
    }

    /// Connects to the backend.
    ///
    /// # Errors
    /// When the configuration is wrong, or the platform cannot be reached.
    pub async fn connect(&self, options: BackendOptions) -> Result<Arc<dyn ComputeBackend>> {
        #[cfg(feature = "plugins")]
        if let Some(plugin) = self.plugin {
            return plugin.connect(options).await;
        }
        (self.descriptor.connect)(options).await
    }

    /// How the backend came into this program.
    #[must_use]
    pub fn source(&self) -> BackendSource {
        #[cfg(feature = "plugins")]
        if let Some(plugin) = self.plugin {
            return BackendSource::Plugin(&plugin.path);
        }
        if FEATURES.contains(&self.scheme) { BackendSource::BuiltIn } else { BackendSource::Crate }
    }
}

/// How a backend came into a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendSource {
    /// The backend is a feature of the crate `lithops`.
    BuiltIn,
    /// The backend is a crate that the program depends on.
    Crate,
    /// The backend was loaded from this plugin file.
    Plugin(&'static Path),
}

impl fmt::Display for BackendSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built in"),
            Self::Crate => f.write_str("crate"),
            Self::Plugin(path) => write!(f, "plugin {}", path.display()),
        }
    }
}

/// The backends that a program has, by scheme.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    backends: BTreeMap<&'static str, Backend>,
}

/// Backends that are features of the crate `lithops`. The hints of errors name the feature to enable.
const FEATURES: &[&str] = &["localhost", "aws_ec2", "aws_lambda", "gcp_cloudrun", "k8s", "knative"];
/// Names of Python Lithops' backends, and other names that it accepts, that this version does not have.
/// Errors about these names say so.
const LATER: &[&str] = &[
    "aliyun_fc",
    "aws_batch",
    "azure_containers",
    "azure_functions",
    "azure_vms",
    "code_engine",
    "gcp_functions",
    "ibm_cf",
    "ibm_vpc",
    "oracle_f",
    "openwhisk",
    "singularity",
    "vm",
];

impl Registry {
    /// The backends that are linked into this program, and the plugins that it has loaded.
    ///
    /// # Errors
    /// When two crates claim one scheme.
    pub fn builtin() -> Result<Self> {
        let mut registry = Self::default();
        for descriptor in inventory::iter::<BackendDescriptor> {
            registry.register(descriptor.into())?;
        }
        #[cfg(feature = "plugins")]
        for plugin in crate::plugin::loaded() {
            registry.register(Backend { descriptor: plugin.descriptor, plugin: Some(plugin) })?;
        }
        Ok(registry)
    }

    /// Loads the plugins that a configuration names, and no others; then returns [`builtin`](Self::builtin),
    /// which includes them.
    ///
    /// # Errors
    /// When a plugin cannot be loaded, or two crates claim one scheme.
    pub fn of(config: &Config) -> Result<Self> {
        for path in config.section("lithops").paths("plugins")? {
            Self::load(&path)?;
        }
        Self::builtin()
    }

    /// Loads a plugin: from now on every registry of this process has its backend.
    ///
    /// # Errors
    /// The file does not exist, is no library or no plugin, or is a plugin of another version; or this
    /// program was built without the feature `plugins`.
    pub fn load(path: &Path) -> Result<()> {
        #[cfg(feature = "plugins")]
        return crate::plugin::load(path).map(drop);
        #[cfg(not(feature = "plugins"))]
        {
            let problem =
                format!("`{}` is a plugin, and this program was built without them", path.display());
            Err(Error::new(ErrorKind::Unsupported, problem)
                .with_hint("enable feature `plugins` of `lithops`"))
        }
    }

    /// Adds a backend.
    ///
    /// # Errors
    /// When another backend has the same scheme.
    pub fn register(&mut self, backend: Backend) -> Result<()> {
        let descriptor = backend.descriptor;
        match self.backends.insert(descriptor.scheme, backend) {
            // The same descriptor may be registered twice; two descriptors of one scheme are an error.
            Some(other) if !std::ptr::eq(other.descriptor, descriptor) => Err(Error::new(
                ErrorKind::ConfigInvalid,
                format!(
                    "backend `{}` is claimed by `{}` and by `{}`",
                    descriptor.scheme, other.package, descriptor.package
                ),
            )
            .with_hint("depend on one of the two crates")),
            _ => Ok(()),
        }
    }

    /// The backends, sorted by scheme.
    pub fn iter(&self) -> impl Iterator<Item = Backend> {
        self.backends.values().copied()
    }

    /// The name of the storage for a configuration: the one that it names; else `localhost`, if the backend's
    /// workers can open that, or the first storage that they can open.
    ///
    /// # Errors
    /// When the workers cannot open the named storage.
    pub fn storage_of<'a>(&self, config: &'a Config) -> Result<Cow<'a, str>> {
        let backend = config.backend();
        // The backend may be missing or wrong: commands that only read a storage must still work.
        let Ok(capabilities) = self.find(backend).and_then(|backend| backend.capabilities(config)) else {
            return Ok(config.storage().into());
        };
        let is_named = config.section("lithops").get("storage").is_some();
        let storage = config.storage();
        if capabilities.opens(storage) {
            return Ok(storage.into());
        }
        let known = capabilities.storages;
        match known.first() {
            Some(first) if !is_named => Ok(first.clone().into()),
            _ => {
                let names: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
                let first = known.first().map_or("", String::as_str);
                let problem =
                    format!("workers of `{backend}` have nothing that opens the storage `{storage}`");
                let hint = format!(
                    "they can open {}: write `storage: {first}` in section `lithops`, and `storage_bucket` in \
                     section `{first}`",
                    names.join(", ")
                );
                let error = Error::new(ErrorKind::ConfigInvalid, problem).with_hint(hint);
                Err(error.with_context("key", "lithops.storage"))
            }
        }
    }

    /// The backend with a scheme.
    ///
    /// # Errors
    /// `NotFound`. The hint lists the backends of this program, and names the nearest one, or the feature to
    /// enable.
    pub fn find(&self, scheme: &str) -> Result<Backend> {
        if let Some(backend) = self.backends.get(scheme) {
            return Ok(*backend);
        }
        let available: Vec<_> = self.backends.keys().map(|name| format!("`{name}`")).collect();
        let available = if available.is_empty() { "none".to_owned() } else { available.join(", ") };
        let not_found = |problem: String| Error::new(ErrorKind::NotFound, problem);
        if LATER.contains(&scheme) {
            return Err(not_found(format!("this version of lithops has no backend `{scheme}`"))
                .with_hint(format!("this program has: {available}; a crate of another party may add it")));
        }
        let candidates = self.backends.keys().copied().chain(FEATURES.iter().copied());
        let hint = if FEATURES.contains(&scheme) {
            format!(
                "this program was built without it (it has: {available}); enable feature `{scheme}` of `lithops`"
            )
        } else if let Some(near) = config::nearest(scheme, candidates) {
            format!("did you mean `{near}`? this program has: {available}")
        } else {
            format!("this program has: {available}")
        };
        Err(not_found(format!("unknown backend `{scheme}`")).with_hint(hint))
    }
}
