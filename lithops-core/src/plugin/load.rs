//! [`load`]: opens a library and checks that it is a plugin of this version.

#![expect(unsafe_code, reason = "a library is code of somebody else")]

use std::{
    collections::BTreeMap,
    mem::offset_of,
    path::{Path, PathBuf},
    ptr,
    sync::{Arc, Mutex, PoisonError},
};

use libloading::Library;

use super::{
    Header, PREFIX, SYMBOL, Text,
    abi::HEADER_WORDS,
    loaded::Plugin,
    remote::{Remote, ask_now},
    wire::{DescribedBackend, WireConfig, decode, encode},
};
use crate::{
    compute::{BackendDescriptor, BackendOptions, Capabilities, ComputeBackend},
    config::Config,
    error::{Error, ErrorKind, Result},
    regular,
};

/// The plugins that this program has loaded, by the path of the library.
static LOADED: Mutex<BTreeMap<PathBuf, &'static Plugin>> = Mutex::new(BTreeMap::new());

/// The plugins that this program has loaded.
#[must_use]
pub fn loaded() -> Vec<&'static Plugin> {
    LOADED.lock().unwrap_or_else(PoisonError::into_inner).values().copied().collect()
}

/// Loads a plugin from the library at `path`, unless it is loaded already.
///
/// # Errors
/// When the file does not exist, is no library, is no plugin, or is of another version.
pub fn load(path: &Path) -> Result<&'static Plugin> {
    let shown = path.display();
    let whole = path.canonicalize().map_err(|error| {
        Error::new(ErrorKind::NotFound, format!("the plugin `{shown}` cannot be found: {error}"))
            .with_hint("name the library's file, such as `target/release/liblithops_backend_x.so`")
    })?;
    // Checked first, because the loader would wait for a pipe, and gives no reason when it refuses a file.
    regular::check(&whole).map_err(|error| {
        Error::new(ErrorKind::ConfigInvalid, format!("the plugin `{shown}` cannot be loaded: {error}"))
            .with_hint("name the library's file, such as `target/release/liblithops_backend_x.so`")
    })?;
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(plugin) = loaded.get(&whole) {
        return Ok(plugin);
    }
    // SAFETY: naming a plugin is the request to run its code; initialisers of a library run as it is loaded.
    let library = unsafe { Library::new(&whole) }.map_err(|error| {
        let reason = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        Error::new(ErrorKind::ConfigInvalid, format!("the plugin `{shown}` cannot be loaded: {reason}"))
            .with_hint("is it a library of this machine, with all it needs in it?")
            .with_source(error)
    })?;
    let header = check(&library, &shown.to_string())?;
    // The library is never unloaded: its threads may run for ever.
    std::mem::forget(library);
    let described = ask_now(|done| {
        let config = encode(&WireConfig::of(&Config::default(), "")).unwrap_or_default();
        (header.vtable.describe)(super::Text::of(&config), done);
    })?;
    let described: DescribedBackend = decode(&described)?;
    let DescribedBackend { scheme, summary, package, version, keys, .. } = described;
    let [scheme, summary, package, version] = [scheme, summary, package, version].map(|text| &*text.leak());
    let keys: Vec<_> = keys.into_iter().map(super::wire::WireKey::leak).collect();
    let descriptor = Box::leak(Box::new(BackendDescriptor {
        scheme,
        summary,
        package,
        version,
        keys: keys.leak(),
        capabilities: |_| Err(by_its_plugin()),
        connect: |_| Box::pin(async { Err(by_its_plugin()) }),
    }));
    let plugin: &'static Plugin =
        Box::leak(Box::new(Plugin { path: whole.clone(), descriptor, vtable: header.vtable }));
    loaded.insert(whole, plugin);
    Ok(plugin)
}

fn by_its_plugin() -> Error {
    Error::new(ErrorKind::Unexpected, "the backend of a plugin is asked through its plugin")
}

/// Checks a library and returns its header, if it is a plugin of this version.
fn check(library: &Library, shown: &str) -> Result<Header> {
    let wrong = |kind: ErrorKind, what: String| Error::new(kind, format!("the plugin `{shown}` {what}"));
    // SAFETY: the symbol is only used as an address to read bytes from.
    let symbol = unsafe { library.get::<*const u8>(SYMBOL.as_bytes()) }.map_err(|_| {
        wrong(
            ErrorKind::ConfigInvalid,
            format!("is a library and no plugin of lithops: it has no `{SYMBOL}`"),
        )
        .with_hint("export its backend with `lithops_core::export_backend!(DESCRIPTOR);`")
    })?;
    let place: *const u8 = (&raw const **symbol).cast();
    // SAFETY: a symbol of a library is the address of an object. The sixteen bytes that are read are fewer
    // than a header has; a shorter object lies within a mapped page.
    let prefix: [u8; PREFIX] = unsafe { ptr::read_unaligned(place.cast()) };
    Header::inspect(&prefix, shown)?;
    // SAFETY: the object says that it is a header of this version and length; words may have any bits, as
    // functions may not.
    let words: [usize; HEADER_WORDS] = unsafe { ptr::read_unaligned(place.cast()) };
    let without = |missing: &str| {
        wrong(ErrorKind::ConfigInvalid, format!("has a header without {missing}"))
            .with_hint("was it made with `lithops_core::export_backend!`?")
    };
    if let Some(missing) = Header::missing_text(&words) {
        return Err(without(missing));
    }
    // SAFETY: the text lies within the header; its address and length may have any bits.
    let core: Text = unsafe { ptr::read_unaligned(place.byte_add(offset_of!(Header, core_version)).cast()) };
    // SAFETY: the texts of a header are constants of the library, and this text is not null.
    let core = unsafe { core.bytes() };
    if core != env!("CARGO_PKG_VERSION").as_bytes() {
        return Err(wrong(
            ErrorKind::VersionMismatch,
            format!(
                "was built with lithops-core {}, and this program with {}",
                String::from_utf8_lossy(core),
                env!("CARGO_PKG_VERSION")
            ),
        )
        .with_hint("build the plugin and the program with the same version of lithops"));
    }
    // Checked after the version, because it depends on the version which functions a header has.
    if let Some(missing) = Header::missing_function(&words) {
        return Err(without(missing));
    }
    // SAFETY: the object is a header of this version, and no text or function in it is null.
    Ok(unsafe { ptr::read_unaligned(place.cast()) })
}

impl Plugin {
    /// The capabilities of the backend under a configuration.
    ///
    /// # Errors
    /// When the configuration is wrong.
    pub fn capabilities(&self, config: &Config) -> Result<Capabilities> {
        let config = encode(&WireConfig::of(config, self.descriptor.scheme))?;
        let described = ask_now(|done| (self.vtable.describe)(super::Text::of(&config), done))?;
        decode::<DescribedBackend>(&described)?.capabilities.map_err(super::wire::WireError::read)
    }

    /// Opens the backend of the plugin.
    ///
    /// # Errors
    /// When the configuration is wrong, or the plugin panics.
    pub async fn connect(&'static self, options: BackendOptions) -> Result<Arc<dyn ComputeBackend>> {
        Ok(Arc::new(Remote::open(self, options).await?))
    }
}
