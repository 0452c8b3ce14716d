//! [`Artifact`]: a compiled program, prepared for the upload.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{BinaryRequirements, Glibc, Machine};
use crate::{
    digest::Digest,
    error::{Error, ErrorKind, Result},
};

/// The platform that an artifact must run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The processor architecture of the platform.
    pub machine: Machine,
    /// The version of its C library.
    pub glibc: Glibc,
    /// The name of the platform, as it is shown to people.
    pub name: &'static str,
}

/// A compiled program without its debug information.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// The bytes of the program.
    pub bytes: bytes::Bytes,
    /// The digest of these bytes, which identifies the program.
    pub digest: Digest,
}

/// The most bytes of a program, 1 GiB. No platform takes a larger one.
const LARGEST: u64 = 1 << 30;

/// The libraries that every Linux with a C library has. A program that is linked with another one
/// is refused.
const ALWAYS_THERE: &[&str] =
    &["libc.so", "libm.so", "libgcc_s.so", "libpthread.so", "libdl.so", "librt.so", "ld-linux"];

impl Artifact {
    /// Reads a program, which must be able to run on `target`.
    ///
    /// # Errors
    /// When the program cannot run there. The error names what is missing, and how to build the program.
    pub async fn read(path: &Path, target: &Target) -> Result<Self> {
        let (path, target) = (path.to_owned(), target.clone());
        let read = tokio::task::spawn_blocking(move || Self::read_now(&path, &target)).await;
        read.unwrap_or_else(|error| {
            Err(Error::new(ErrorKind::Unexpected, format!("the program was not read: {error}")))
        })
    }

    fn read_now(path: &Path, target: &Target) -> Result<Self> {
        let name = path.display().to_string();
        let bytes = crate::regular::read(path, LARGEST).map_err(|error| {
            let kind = Error::from(std::io::Error::from(error.kind())).kind();
            Error::new(kind, format!("cannot read the program `{name}`: {error}")).with_source(error)
        })?;
        check(&BinaryRequirements::of(&bytes, &name)?, target, &name)?;
        // When debug information cannot be removed, the program is used as it is.
        let bytes = bytes::Bytes::from(without_debug_information(&bytes).unwrap_or(bytes));
        Ok(Self { digest: Digest::of(&bytes), bytes })
    }
}

/// Finds a program, such as `lithops-worker`, beside this one, in the folder above where Cargo puts
/// it, or in `PATH`. A program beside this one is skipped if more users can write to it than to
/// this one, because the user has not named it.
#[must_use]
pub fn beside_this_program(name: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let found = beside(&own, name);
    found.or_else(|| {
        let path = std::env::var_os("PATH")?;
        // A relative folder in `PATH` would mean another folder in each working directory.
        let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
        folders.map(|folder| folder.join(name)).find(|path| path.is_file())
    })
}

fn beside(own: &Path, name: &str) -> Option<PathBuf> {
    let folder = own.parent()?;
    // Cargo puts tests and examples one folder deeper than programs.
    let is_deeper = folder.file_name().is_some_and(|name| name == "deps" || name == "examples");
    let above = folder.parent().filter(|_| is_deeper);
    let own = std::fs::metadata(own).ok()?;
    let is_trusted = |path: &PathBuf| {
        let Ok(found) = std::fs::metadata(path) else { return false };
        let owners = [0, own.uid(), rustix::process::geteuid().as_raw()];
        let more = found.mode() & !own.mode() & 0o022;
        let other_group = found.mode() & 0o020 != 0 && found.gid() != own.gid();
        found.is_file() && owners.contains(&found.uid()) && more == 0 && !other_group
    };
    [Some(folder), above].into_iter().flatten().map(|folder| folder.join(name)).find(is_trusted)
}

fn check(needs: &BinaryRequirements, target: &Target, name: &str) -> Result<()> {
    let Target { machine, glibc, name: place } = target;
    let refuse = |problem: String, hint: String| {
        Err(Error::new(ErrorKind::InvalidInput, problem).with_hint(hint).with_context("artifact", name))
    };
    if needs.machine != *machine {
        let hint = format!(
            "build it with `cargo build --release --target {}` and name it with `artifact:`, or write \
             `architecture: {}`",
            machine.target(),
            needs.machine
        );
        return refuse(
            format!("`{name}` was built for {}, and {place} runs on {machine}", needs.machine),
            hint,
        );
    }
    if let Some(needed) = needs.glibc.filter(|needed| needed > glibc) {
        let hint = format!(
            "build it on an older Linux, or with `cargo zigbuild --release --target {}.{glibc}`, and name it with \
             `artifact:`",
            machine.target()
        );
        return refuse(format!("`{name}` needs glibc {needed}, and {place} has {glibc}"), hint);
    }
    let foreign = |library: &&String| !ALWAYS_THERE.iter().any(|known| library.starts_with(known));
    if let Some(library) = needs.libraries.iter().find(foreign) {
        return refuse(
            format!("`{name}` is linked with `{library}`, and {place} does not have that"),
            "link it statically: many crates have a feature `vendored` or `static` for that".to_owned(),
        );
    }
    Ok(())
}

/// The program without debug information; `None` if it cannot be made smaller. Function names are
/// kept for backtraces.
#[must_use]
pub fn without_debug_information(program: &[u8]) -> Option<Vec<u8>> {
    let mut builder = object::build::elf::Builder::read(program).ok()?;
    for section in &mut builder.sections {
        let name = section.name.to_string();
        section.delete = name.starts_with(".debug_") || name.starts_with(".zdebug_");
    }
    builder.delete_orphans();
    let mut smaller = Vec::new();
    builder.write(&mut smaller).ok()?;
    (smaller.len() < program.len()).then_some(smaller)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn here() -> Target {
        Target { machine: Machine::here(), glibc: Glibc(99, 0), name: "this machine" }
    }

    #[tokio::test]
    async fn what_is_left_of_a_program_is_smaller_and_still_runs() {
        let own = Path::new("/proc/self/exe");
        let artifact = Artifact::read(own, &here()).await.expect("it runs here");
        let whole = std::fs::metadata(own).expect("it is there").len();
        assert!((artifact.bytes.len() as u64) < whole, "{} of {whole}", artifact.bytes.len());
        let again = Artifact::read(own, &here()).await.expect("it runs here");
        assert_eq!(artifact.digest, again.digest);

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("smaller");
        std::fs::write(&path, &artifact.bytes).expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&path, mode).expect("executable");
        let listed = Command::new(&path).args(["--list", "artifact"]).output().expect("it runs");
        assert!(String::from_utf8_lossy(&listed.stdout).contains("still_runs"), "{listed:?}");
    }

    #[test]
    fn what_others_can_write_to_is_not_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str, mode: u32| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("created");
            std::fs::write(&path, "").expect("written");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(&path, mode).expect("its mode");
            path
        };
        let (own, test) = (place("bin/own", 0o755), place("bin/deps/test", 0o755));
        let worker = place("bin/worker", 0o755);
        assert_eq!(beside(&own, "worker"), Some(worker.clone()));
        assert_eq!(beside(&test, "worker"), Some(worker));
        // Only Cargo's own folders are searched from: the folder above may be one that all users share.
        place("above", 0o755);
        assert_eq!(beside(&own, "above"), None);
        place("bin/worker", 0o777);
        assert_eq!(beside(&own, "worker"), None);
        place("bin/own", 0o777);
        assert!(beside(&own, "worker").is_some(), "whoever can write to it can write to the program");
    }

    #[test]
    fn what_the_target_lacks_is_named_with_the_command_that_helps() {
        let needs = BinaryRequirements {
            machine: Machine::X86_64,
            glibc: Some(Glibc(2, 36)),
            libraries: vec!["libc.so.6".into(), "libssl.so.3".into()],
        };
        let lambda = Target { machine: Machine::X86_64, glibc: Glibc(2, 34), name: "Lambda" };
        let said = |needs: &BinaryRequirements, target: &Target| {
            check(needs, target, "app").expect_err("it cannot run there").to_string()
        };
        let old = said(&needs, &lambda);
        assert!(old.contains("needs glibc 2.36, and Lambda has 2.34") && old.contains("zigbuild"), "{old}");
        let other = said(&needs, &Target { machine: Machine::Arm64, ..lambda.clone() });
        assert!(other.contains("aarch64-unknown-linux-gnu"), "{other}");
        let linked = said(&BinaryRequirements { glibc: Some(Glibc(2, 28)), ..needs.clone() }, &lambda);
        assert!(linked.contains("`libssl.so.3`"), "{linked}");
        let libraries = vec!["libc.so.6".into(), "ld-linux-x86-64.so.2".into()];
        check(&BinaryRequirements { glibc: None, libraries, ..needs }, &lambda, "app").expect("it can");
    }
}
