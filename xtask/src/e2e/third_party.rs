//! Backends and a storage of third parties, as strangers would have them: tried by the conformance suite, a backend used
//! by a program that selects it in its configuration; and a backend that was begun with `cargo xtask new-backend`.

use std::{fs, path::Path, process::Command};

use super::program::{Programs, Said};
use crate::{
    new_backend, steps,
    workspace::{built, cargo, root},
};

/// Cargo in another workspace, with the target folder of this one.
pub(super) fn cargo_of(folder: &Path, arguments: &[&str]) -> Result<Command, String> {
    let target = built("")?;
    let mut command = cargo();
    let manifest = folder.join("Cargo.toml");
    command
        .args(arguments)
        .arg("--quiet")
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(target);
    Ok(command)
}

pub(super) fn run() -> Result<(), String> {
    let fixtures = root().join("tests/fixtures");
    // The crates that the guides of `docs/` show whole.
    for guide in ["lithops-backend-launcher", "lithops-backend-crew", "lithops-storage-flat"] {
        steps::run(&mut cargo_of(&fixtures.join(guide), &["test"])?)?;
    }
    steps::run(&mut cargo_of(&fixtures.join("program"), &["build"])?)?;
    selected()?;
    eprintln!("   a program runs on a backend of a third party: passed");
    scaffolded()?;
    eprintln!("   a new backend keeps the promises: passed");
    Ok(())
}

fn selected() -> Result<(), String> {
    let programs = Programs::new(built("debug")?)?;
    let with = |yaml: &str| -> Result<Said, String> {
        programs.write("lithops.yaml", yaml.as_bytes())?;
        programs.run("program", &[], &[("LITHOPS_CONFIG_FILE", "lithops.yaml")])
    };
    let said = with("lithops: {backend: launcher}\nlauncher: {command: 'nice -n 3', max_workers: 2}\n")?;
    let results: Vec<_> = (7..207).map(|x: i64| x.to_string()).collect();
    let expected = format!("[{}]\n25 workers\n", results.join(", "));
    said.ends_with(0)?.wants("the results in order", said.stdout == expected)?;
    // The mistakes that users make first.
    let said = with("lithops: {backend: launcher}\nlauncher: {comand: nice}\n")?;
    said.wants("the nearest key", said.code != Some(0) && said.stderr.contains("did you mean `command`"))?;
    let said = with("lithops: {backend: launcher}\nlauncher: {command: no-such-program}\n")?;
    let words = "`launcher.command` begins with `no-such-program`, and there is no such program";
    said.wants(words, said.code != Some(0) && said.stderr.contains(words))?;
    let said = with("lithops: {backend: launchr}\n")?;
    said.wants(
        "what there is",
        said.code != Some(0) && said.stderr.contains("this program has: `launcher`"),
    )?;
    Ok(())
}

fn scaffolded() -> Result<(), String> {
    let folder = built("")?.join("scaffold/demo_cloud");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| format!("`{}`: {error}", folder.display()))?;
    }
    new_backend::run("demo_cloud", Some(&folder))?;
    let lock = root().join("tests/fixtures/lithops-backend-launcher/Cargo.lock");
    // With the lock file of the fixture, the dependencies are built already.
    let text = fs::read_to_string(&lock).map_err(|error| format!("`{}`: {error}", lock.display()))?;
    let text = text.replace("lithops-backend-launcher", "lithops-backend-demo-cloud");
    fs::write(folder.join("Cargo.lock"), text).map_err(|error| error.to_string())?;
    steps::run(&mut cargo_of(&folder, &["test"])?)
}
