//! The program that only waits, and the image that has nothing but it, for the first container of every pod.

use std::{fs, path::Path, process::Command};

use sha2::{Digest, Sha256};

use super::{programs::hex, tar::archive};
use crate::{steps, workspace::root};

/// The name of the image in the containerd of each node.
pub(in crate::cluster) const IMAGE: &str = "localhost/lithops-pause:1";

/// Compiles the program.
pub(in crate::cluster) fn program(to: &Path) -> Result<(), String> {
    let source = root().join("xtask/cluster/pause.c");
    steps::run(Command::new("cc").args(["-Os", "-static", "-s", "-o"]).arg(to).arg(source))
}

/// Writes the image as an archive of `docker save`.
pub(in crate::cluster) fn image(program: &Path, to: &Path) -> Result<(), String> {
    program_image(program, "pause", IMAGE, None, to)
}

/// Writes an image that has nothing but one program, as an archive of `docker save`.
pub(in crate::cluster) fn program_image(
    program: &Path,
    path: &str,
    name: &str,
    user: Option<u32>,
    to: &Path,
) -> Result<(), String> {
    let content =
        fs::read(program).map_err(|error| format!("cannot read `{}`: {error}", program.display()))?;
    let layer = archive(&[(path, 0o755, &content)]);
    let digest = hex(&Sha256::digest(&layer));
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = serde_json::json!({
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": [format!("/{path}")], "User": user.map_or_else(String::new, |user| user.to_string())},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    let manifest =
        serde_json::json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
    let image = archive(&[
        ("layer.tar", 0o644, &layer),
        ("config.json", 0o644, config.to_string().as_bytes()),
        ("manifest.json", 0o644, manifest.to_string().as_bytes()),
    ]);
    fs::write(to, image).map_err(|error| format!("cannot write `{}`: {error}", to.display()))
}
