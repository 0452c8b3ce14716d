//! The folder of the workspace, and the metadata that cargo has of it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// The folder of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Cargo itself, at the root of the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// The output of `cargo metadata` for the members.
pub(crate) fn metadata() -> Result<Value, String> {
    let output = cargo()
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .output()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("`cargo metadata` failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("`cargo metadata` did not print JSON: {error}"))
}

/// The part of `cargo metadata` for one member.
pub(crate) fn package(name: &str) -> Result<Value, String> {
    let mut metadata = metadata()?;
    let packages = metadata["packages"].as_array_mut().into_iter().flatten();
    packages
        .map(Value::take)
        .find(|package| package["name"] == name)
        .ok_or_else(|| format!("the workspace has no package `{name}`"))
}

/// The folder of the programs that are built in a profile: `debug` or `release`.
pub(crate) fn built(profile: &str) -> Result<PathBuf, String> {
    let metadata = metadata()?;
    let target = metadata["target_directory"].as_str().ok_or("`cargo metadata` names no target directory")?;
    Ok(Path::new(target).join(profile))
}
