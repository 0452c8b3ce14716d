//! [`BinaryRequirements`]: what an executable requires of the machine that runs it.

use std::fmt;

use object::{
    Endianness,
    elf::{self, FileHeader64},
    read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _},
};

use crate::error::{Error, ErrorKind, Result};

/// The processor architectures that programs are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Machine {
    /// Intel and AMD, 64 bits (`x86_64`).
    X86_64,
    /// ARM, 64 bits (`aarch64`).
    Arm64,
}

impl Machine {
    /// The architecture that this program was built for.
    #[must_use]
    pub fn here() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::X86_64 }
    }

    /// The target triple for the compiler's option `--target`.
    #[must_use]
    pub fn target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        })
    }
}

/// A version of the GNU C library: major and minor number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glibc(pub u32, pub u32);

impl Glibc {
    fn read(version: &str) -> Option<Self> {
        let (major, rest) = version.strip_prefix("GLIBC_")?.split_once('.')?;
        let minor = rest.split('.').next()?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl fmt::Display for Glibc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// What an executable requires of the machine that runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinaryRequirements {
    /// The processor architecture that it was built for.
    pub machine: Machine,
    /// The lowest version of the GNU C library that it needs; `None` when it needs none, as a
    /// statically linked program.
    pub glibc: Option<Glibc>,
    /// The names of the shared libraries that it is linked with.
    pub libraries: Vec<String>,
}

impl BinaryRequirements {
    /// Reads the requirements from the tables of the executable.
    ///
    /// # Errors
    /// `InvalidInput` when the bytes are not an executable for 64-bit Linux.
    pub fn of(executable: &[u8], name: &str) -> Result<Self> {
        let refuse = |why: &str| {
            Error::new(ErrorKind::InvalidInput, format!("`{name}` is no program for 64-bit Linux: {why}"))
                .with_hint("name the compiled program itself, not a script or a library")
        };
        let malformed = |error: object::read::Error| refuse(&error.to_string());
        let header =
            FileHeader64::<Endianness>::parse(executable).map_err(|_| refuse("it does not begin as one"))?;
        let endian = header.endian().map_err(malformed)?;
        let machine = match header.e_machine(endian) {
            elf::EM_X86_64 => Machine::X86_64,
            elf::EM_AARCH64 => Machine::Arm64,
            other => return Err(refuse(&format!("its processor has number {}", other.0))),
        };
        let is_program = matches!(header.e_type(endian), elf::ET_EXEC | elf::ET_DYN);
        if !is_program {
            return Err(refuse("it is not linked"));
        }
        let sections = header.sections(endian, executable).map_err(malformed)?;
        let mut glibc = None;
        if let Some((needed, link)) = sections.gnu_verneed(endian, executable).map_err(malformed)? {
            let strings = sections.strings(endian, executable, link).map_err(malformed)?;
            for library in needed {
                let (_, versions) = library.map_err(malformed)?;
                for version in versions {
                    let version = version.map_err(malformed)?.name(endian, strings).map_err(malformed)?;
                    glibc = glibc.max(std::str::from_utf8(version).ok().and_then(Glibc::read));
                }
            }
        }
        let mut libraries = Vec::new();
        let segments = header.program_headers(endian, executable).map_err(malformed)?;
        for segment in segments {
            let Some(entries) = segment.dynamic(endian, executable).map_err(malformed)? else { continue };
            let Some((_, link)) = sections.dynamic(endian, executable).map_err(malformed)? else { continue };
            let strings = sections.strings(endian, executable, link).map_err(malformed)?;
            for entry in entries.iter().filter(|entry| entry.d_tag(endian) == elf::DT_NEEDED) {
                let name = strings.get(u32::try_from(entry.d_val(endian)).unwrap_or(u32::MAX));
                libraries.extend(name.ok().map(|name| String::from_utf8_lossy(name).into_owned()));
            }
        }
        Ok(Self { machine, glibc, libraries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_is_a_program_of_this_machine_that_uses_the_c_library() {
        let own = std::fs::read("/proc/self/exe").expect("this test");
        let needs = BinaryRequirements::of(&own, "this test").expect("it runs");
        assert_eq!(needs.machine, Machine::here());
        assert!(needs.libraries.iter().any(|name| name.starts_with("libc.so")), "{needs:?}");
        assert!(needs.glibc.is_some_and(|glibc| glibc >= Glibc(2, 2)), "{needs:?}");
        assert!(Glibc(2, 34) > Glibc(2, 4) && Glibc::read("GLIBC_2.2.5") == Some(Glibc(2, 2)));
    }

    #[test]
    fn what_is_no_program_is_refused_with_a_sentence() {
        for bytes in [&b""[..], b"#!/bin/sh\n", b"\x7fELF\x02\x01\x01"] {
            let error = BinaryRequirements::of(bytes, "x").expect_err("it is none").to_string();
            assert!(error.starts_with("`x` is no program for 64-bit Linux"), "{error}");
        }
        let mut own = std::fs::read("/proc/self/exe").expect("this test");
        own.truncate(4096);
        assert!(BinaryRequirements::of(&own, "x").is_err());
    }
}
