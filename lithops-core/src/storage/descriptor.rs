//! The storages that this program includes, and how a locator is opened.

use std::{fmt, sync::Arc};

use super::{Credentials, Locator, Storage, credentials};
use crate::{
    config::{Config, Key, nearest},
    error::{Error, ErrorKind, Result},
};

/// The declaration of a storage, which its crate makes with `inventory::submit!`.
pub struct StorageDescriptor {
    /// The name of the storage, which is also that of the crate's feature and of the section of the
    /// configuration.
    pub scheme: &'static str,
    /// A description in one line.
    pub summary: &'static str,
    /// The name of the crate that declares it: `env!("CARGO_PKG_NAME")`.
    pub package: &'static str,
    /// The keys that it reads from its section.
    pub keys: &'static [Key],
    /// Reads the locator from the section.
    pub locate: fn(&Config) -> Result<Locator>,
    /// Reads the secrets from the section; empty when the platform's own credentials are to be used.
    pub credentials: fn(&Config) -> Result<Credentials>,
    /// Opens the storage of a locator. Empty credentials stand for those of the platform.
    pub connect: fn(&Locator, &Credentials) -> Result<Arc<dyn Storage>>,
}

inventory::collect!(StorageDescriptor);

impl fmt::Debug for StorageDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageDescriptor")
            .field("scheme", &self.scheme)
            .field("package", &self.package)
            .finish()
    }
}

/// The storages of this program, sorted by name.
///
/// # Errors
/// When two crates declare the same name.
pub fn descriptors() -> Result<Vec<&'static StorageDescriptor>> {
    sorted(inventory::iter::<StorageDescriptor>.into_iter().collect())
}

/// The storage of this name.
///
/// # Errors
/// `NotFound` when this program does not include it. The hint says how to get it, or suggests a
/// similar name.
pub fn descriptor(scheme: &str) -> Result<&'static StorageDescriptor> {
    let all = descriptors()?;
    if let Some(descriptor) = all.iter().find(|descriptor| descriptor.scheme == scheme) {
        return Ok(descriptor);
    }
    let names: Vec<_> = all.iter().map(|descriptor| format!("`{}`", descriptor.scheme)).collect();
    let names = names.join(", ");
    let error = |message: String| Error::new(ErrorKind::NotFound, message).with_context("storage", scheme);
    if FEATURES.contains(&scheme) {
        return Err(error(format!("storage `{scheme}` is not built in")).with_hint(format!(
            "enable the cargo feature `{scheme}` of crate `lithops`; built in: {names}"
        )));
    }
    if LATER.contains(&scheme) {
        return Err(error(format!("this version has no storage `{scheme}`"))
            .with_hint(format!("choose one that is built in, {names}, or of {}", FEATURES.join(", "))));
    }
    // Many users know S3 and Cloud Storage by their short names.
    let named = scheme;
    let scheme = match named {
        "s3" => "aws_s3",
        "gcs" | "gs" => "gcp_storage",
        other => other,
    };
    let candidates = all.iter().map(|descriptor| descriptor.scheme).chain(FEATURES.iter().copied());
    let hint = match nearest(scheme, candidates) {
        Some(name) => format!("did you mean `{name}`? built in: {names}"),
        None => format!("built in: {names}"),
    };
    Err(error(format!("there is no storage `{named}`")).with_hint(hint))
}

/// Opens the storage of a locator, with the credentials that were [given](super::give) to this
/// process for it, or with the platform's own.
///
/// # Errors
/// When this program does not include the storage, or the storage cannot be opened.
pub fn connect(locator: &Locator) -> Result<Arc<dyn Storage>> {
    (descriptor(&locator.scheme)?.connect)(locator, &credentials::given(locator))
}

/// The storages that are features of the crate `lithops`.
const FEATURES: &[&str] = &["aws_s3", "ceph", "gcp_storage", "minio", "redis"];
/// The storages of Python Lithops that this version does not have.
const LATER: &[&str] = &["aliyun_oss", "azure_storage", "ibm_cos", "infinispan", "oracle_oss", "swift"];

fn sorted(mut descriptors: Vec<&StorageDescriptor>) -> Result<Vec<&StorageDescriptor>> {
    descriptors.sort_by_key(|descriptor| (descriptor.scheme, descriptor.package));
    for pair in descriptors.windows(2) {
        if pair[0].scheme == pair[1].scheme {
            let (scheme, first, second) = (pair[0].scheme, pair[0].package, pair[1].package);
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("storage `{scheme}` is declared by crate `{first}` and by crate `{second}`"),
            )
            .with_hint("depend on one of the two"));
        }
    }
    Ok(descriptors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_storages_are_there_in_order() {
        let schemes: Vec<_> = descriptors().unwrap().iter().map(|descriptor| descriptor.scheme).collect();
        assert!(
            schemes.is_sorted() && schemes.contains(&"localhost") && schemes.contains(&"memory"),
            "{schemes:?}"
        );
    }

    #[test]
    fn missing_storages_are_named_with_advice() {
        let error = descriptor("aws_s3").unwrap_err().to_string();
        assert!(
            error.starts_with("storage `aws_s3` is not built in: enable the cargo feature `aws_s3`"),
            "{error}"
        );
        let error = descriptor("locahost").unwrap_err().to_string();
        assert!(error.starts_with("there is no storage `locahost`: did you mean `localhost`?"), "{error}");
        let error = descriptor("azure_storage").unwrap_err().to_string();
        assert!(error.starts_with("this version has no storage `azure_storage`: choose one"), "{error}");
        let error = connect(&Locator::new("qqqqqqqqq", "b")).unwrap_err().to_string();
        assert!(error.contains("built in: `localhost`, `memory`"), "{error}");
    }

    #[test]
    fn two_crates_cannot_declare_one_name() {
        let one = descriptor("memory").unwrap();
        let other = StorageDescriptor { package: "other", keys: &[], summary: "", ..*one };
        let error = sorted(vec![&other, one]).unwrap_err().to_string();
        assert!(error.contains("`other`") && error.contains(one.package), "{error}");
    }
}
