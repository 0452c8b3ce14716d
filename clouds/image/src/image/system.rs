//! What an image has of a system: the user, root certificates, a folder for temporary files.

use std::{collections::BTreeMap, path::Path};

use lithops_core::error::Result;

use super::{builder::read, tree::Tree};

/// The user and the group that programs run as.
pub(super) const USER: &str = "65532";
/// Where the root certificates are in an image without a base.
pub(super) const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Where the root certificates of this machine are, by distribution.
const CERTIFICATE_FILES: [&str; 4] =
    [CERTIFICATES, "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"];

/// Adds what programs expect of a system: the user, its name, and a folder for temporary files.
pub(super) fn add_system(tree: &mut Tree) -> Result<()> {
    let passwd =
        format!("root:x:0:0:root:/:/sbin/nologin\nlithops:x:{USER}:{USER}:lithops:/tmp:/sbin/nologin\n");
    tree.add_bytes("/etc/passwd", passwd, 0o644)?;
    tree.add_bytes("/etc/group", format!("root:x:0:\nlithops:x:{USER}:\n"), 0o644)?;
    tree.add_folder("/tmp", 0o1777)
}

/// Adds the root certificates of this machine, where it has them.
pub(super) fn add_certificates(
    tree: &mut Tree,
    path: &str,
    env: &mut BTreeMap<String, String>,
) -> Result<()> {
    let Some(file) = CERTIFICATE_FILES.into_iter().map(Path::new).find(|file| file.is_file()) else {
        return Ok(());
    };
    tree.add_bytes(path, read(file)?, 0o644)?;
    env.insert("SSL_CERT_FILE".to_owned(), path.to_owned());
    Ok(())
}
