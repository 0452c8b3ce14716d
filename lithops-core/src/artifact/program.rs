//! [`Artifact`]: a compiled program, as it leaves the machine.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{BinaryRequirements, Glibc, Machine};
use crate::{
    digest::Digest,
    error::{Error, ErrorKind, Result},
};

/// Where an artifact is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its processor.
    pub machine: Machine,
    /// Its C library.
    pub glibc: Glibc,
    /// What it is, for people.
    pub name: &'static str,
}

/// A compiled program without its debug information.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// Its bytes.
    pub bytes: bytes::Bytes,
    /// Their digest, which names it.
    pub digest: Digest,
}

/// No platform takes a program that is larger.
const LARGEST: u64 = 1 << 30;

/// What every Linux has that has a C library, and no other library.
const ALWAYS_THERE: &[&str] =
    &["libc.so", "libm.so", "libgcc_s.so", "libpthread.so", "libdl.so", "librt.so", "ld-linux"];

impl Artifact {
    /// Reads a program that must be able to run at `target`.
    ///
    /// # Errors
    /// What it is not, what the target lacks, and the command that builds it rightly.
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
        // A program that cannot be made smaller is as good as it was.
        let bytes = bytes::Bytes::from(without_debug_information(&bytes).unwrap_or(bytes));
        Ok(Self { digest: Digest::of(&bytes), bytes })
    }
}

/// A program that lies beside this one, or where its build puts what it builds, or in the search path: as
/// `lithops-worker` does. What more users can write to than to this program is passed over: it is found, not named.
#[must_use]
pub fn beside_this_program(name: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let found = beside(&own, name);
    found.or_else(|| {
        let path = std::env::var_os("PATH")?;
        // A relative folder is another one in each working directory.
        let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
        folders.map(|folder| folder.join(name)).find(|path| path.is_file())
    })
}

fn beside(own: &Path, name: &str) -> Option<PathBuf> {
    let folder = own.parent()?;
    // Cargo puts tests and examples one level deeper than programs.
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

/// The same program, smaller: names of functions stay, for backtraces.
fn without_debug_information(program: &[u8]) -> Option<Vec<u8>> {
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
        // A folder above may be one that all users share.
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
