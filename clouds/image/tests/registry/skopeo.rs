//! `skopeo`, a client of registries that has nothing in common with this crate.

use std::process::Command;

use lithops_core::digest::Digest;
use serde_json::Value;

/// What it says of an image.
pub(crate) fn inspect(image: &str) -> Value {
    serde_json::from_slice(&run(&["inspect", "--tls-verify=false", image])).unwrap()
}

/// The manifest of an image, as it is stored.
pub(crate) fn raw(image: &str) -> Vec<u8> {
    run(&["inspect", "--raw", "--tls-verify=false", image])
}

/// Copies an image to a new OCI layout. Returns the folder, and the digest of the manifest.
pub(crate) fn copied(image: &str) -> (tempfile::TempDir, Digest) {
    let folder = tempfile::tempdir().unwrap();
    let to = format!("oci:{}:copy", folder.path().display());
    run(&["--insecure-policy", "copy", "--src-tls-verify=false", image, &to]);
    let index: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("index.json")).unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    let digest = digest.strip_prefix("sha256:").unwrap().parse().unwrap();
    (folder, digest)
}

fn run(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("skopeo").args(arguments).output();
    let output = output.expect("`skopeo` is installed: `apt-get install skopeo`");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
