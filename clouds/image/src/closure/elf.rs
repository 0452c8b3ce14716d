//! [`Elf`]: what the loader reads in a program or library.

use lithops_core::{
    artifact::Machine,
    error::{Error, ErrorKind, Result},
};
use object::{
    Endianness, StringTable,
    elf::{self, FileHeader64},
    read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _},
};

/// What the loader reads in a program or library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Elf {
    pub(crate) machine: Machine,
    /// The path of the loader; `None` in libraries and in statically linked programs.
    pub(crate) interpreter: Option<String>,
    pub(crate) needed: Vec<String>,
    pub(crate) soname: Option<String>,
    /// Folders in which the needs of this file, and of the files that it needs, are looked for.
    pub(crate) rpath: Vec<String>,
    /// Folders in which the needs of this file are looked for; with them `rpath` does not count.
    pub(crate) runpath: Option<Vec<String>>,
    /// The level of x86-64 that the file needs, 1 to 4.
    pub(crate) level: u8,
}

/// Whether the bytes begin as those of a program or library.
pub(crate) fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(&elf::ELFMAG)
}

impl Elf {
    /// Reads the tables that the loader reads, which are there in a stripped file too.
    pub(crate) fn parse(file: &[u8], name: &str) -> Result<Self> {
        let refuse = |why: &str| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("`{name}` is no program or library of 64-bit Linux: {why}"),
            )
            .with_hint("name the compiled program itself, not a script")
        };
        let malformed = |error: object::read::Error| refuse(&error.to_string());
        let header =
            FileHeader64::<Endianness>::parse(file).map_err(|_| refuse("it does not begin as one"))?;
        let endian = header.endian().map_err(malformed)?;
        let machine = match header.e_machine(endian) {
            elf::EM_X86_64 => Machine::X86_64,
            elf::EM_AARCH64 => Machine::Arm64,
            other => return Err(refuse(&format!("its processor has number {}", other.0))),
        };
        if !matches!(header.e_type(endian), elf::ET_EXEC | elf::ET_DYN) {
            return Err(refuse("it is not linked"));
        }
        let segments = header.program_headers(endian, file).map_err(malformed)?;
        let mut found = Self {
            machine,
            interpreter: None,
            needed: Vec::new(),
            soname: None,
            rpath: Vec::new(),
            runpath: None,
            level: 1,
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        for segment in segments {
            if let Some(path) = segment.interpreter(endian, file).map_err(malformed)? {
                found.interpreter = Some(text(path));
            }
            // Notes that cannot be read say nothing of the processor.
            let Ok(Some(mut notes)) = segment.notes(endian, file) else { continue };
            while let Ok(Some(note)) = notes.next() {
                let properties = note.gnu_properties(endian).into_iter().flatten().flatten();
                for property in properties.filter(|one| one.pr_type() == elf::GNU_PROPERTY_X86_ISA_1_NEEDED) {
                    found.level = property.data_u32(endian).map_or(1, level);
                }
            }
        }
        let mut entries: &[elf::Dyn64<Endianness>] = &[];
        for segment in segments {
            entries = segment.dynamic(endian, file).map_err(malformed)?.unwrap_or(entries);
        }
        let end = entries.iter().position(|entry| entry.d_tag(endian) == elf::DT_NULL);
        let entries = &entries[..end.unwrap_or(entries.len())];
        let value =
            |tag| entries.iter().find(|entry| entry.d_tag(endian) == tag).map(|entry| entry.d_val(endian));
        let (Some(address), Some(size)) = (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) else {
            return Ok(found);
        };
        let loaded = segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD);
        let mut places =
            loaded.filter_map(|segment| segment.data_range(endian, file, address, size).ok().flatten());
        let strings = places.next().ok_or_else(|| refuse("its names are missing"))?;
        let strings = StringTable::new(strings, 0, strings.len() as u64);
        for entry in entries {
            let string = || {
                let at = u32::try_from(entry.d_val(endian)).unwrap_or(u32::MAX);
                strings.get(at).map(text).map_err(|()| refuse("a name is missing"))
            };
            let folders = |all: String| all.split(':').map(str::to_owned).collect::<Vec<_>>();
            match entry.d_tag(endian) {
                elf::DT_NEEDED => found.needed.push(string()?),
                elf::DT_SONAME => found.soname = Some(string()?),
                elf::DT_RPATH => found.rpath = folders(string()?),
                elf::DT_RUNPATH => found.runpath = Some(folders(string()?)),
                _ => {}
            }
        }
        Ok(found)
    }
}

/// The level that the bits of the property `x86 ISA needed` say.
fn level(bits: u32) -> u8 {
    if bits & elf::GNU_PROPERTY_X86_ISA_1_V4 != 0 {
        4
    } else if bits & elf::GNU_PROPERTY_X86_ISA_1_V3 != 0 {
        3
    } else if bits & elf::GNU_PROPERTY_X86_ISA_1_V2 != 0 {
        2
    } else {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_names_its_loader_and_its_libraries() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        let elf = Elf::parse(&own, "this test").unwrap();
        assert_eq!(elf.machine, Machine::here());
        assert!(elf.interpreter.as_ref().is_some_and(|path| path.starts_with('/')), "{elf:?}");
        assert!(elf.needed.iter().any(|name| name.starts_with("libc.so")), "{elf:?}");
        for end in [0, 4, 64, 200, 4096] {
            // A file that was cut is refused or read, and never a panic.
            let _ = Elf::parse(&own[..end], "cut");
        }
        assert!(Elf::parse(b"#!/bin/sh\n", "x").unwrap_err().to_string().starts_with("`x` is no program"));
    }

    #[test]
    fn the_highest_level_counts() {
        assert_eq!([0, 1, 3, 7, 15, 8].map(level), [1, 1, 2, 3, 4, 4]);
    }
}
