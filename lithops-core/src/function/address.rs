//! [`Address`]: where the glue of a function without the attribute lies, as a number that another process of
//! the same program can use.
//!
//! The number is the distance from a static of this crate, which does not depend on where the program is
//! loaded. The process that gets it believes nothing: the program must be the same one, and the place must be
//! in a part of the program that cannot be written, be aligned, and begin with [`MAGIC`]. So a job's
//! description can only choose among the functions of the program, as with names.
#![expect(unsafe_code, reason = "the program's parts are found, and glue is read, by address")]

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    ops::Range,
    slice,
    str::FromStr,
    sync::OnceLock,
};

use super::glue::{Glue, MAGIC};
use crate::{
    digest::{Digest, Hashing},
    error::{Error, ErrorKind, Result},
};

/// The place that distances are measured from.
static ORIGIN: u8 = 0;

/// The place of a function's glue in a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The distance from [`ORIGIN`].
    distance: isize,
    /// The program in which the function is.
    program: Digest,
}

impl Address {
    /// The address of glue in this process.
    ///
    /// # Errors
    /// `InvalidInput` when the glue is in another shared object than this crate.
    pub(super) fn of(glue: &'static Glue) -> Result<Self> {
        let (own, at) = (own()?, (&raw const *glue).addr());
        if !own.has(at, size_of::<Glue>()) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "`{}` is not among the constants of the program: it is in a shared library, or the program is \
                     linked without RELRO",
                    (glue.name)()
                ),
            )
            .with_hint("write a function with `#[lithops::function]`, which is found by its name"));
        }
        let distance = at.wrapping_sub((&raw const ORIGIN).addr()).cast_signed();
        Ok(Self { distance, program: own.program })
    }

    /// The glue at this address in this process. `function` is only for the error.
    ///
    /// # Errors
    /// `NotFound` when another program, or another build of this one, has made the address, or no glue is
    /// there.
    pub(super) fn glue(&self, function: &str) -> Result<&'static Glue> {
        let own = own()?;
        if self.program != own.program {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!(
                    "`{function}` has no name of its own, and is found by its place in the program that has \
                     started the job; this is another program, or another build of it"
                ),
            )
            .with_hint(
                "run the program that has started the job; `#[lithops::function(name = \"..\")]` gives a function a \
                 name by which later builds find it",
            ));
        }
        let at = (&raw const ORIGIN).addr().wrapping_add_signed(self.distance);
        let lies = at.is_multiple_of(align_of::<Glue>()) && own.has(at, size_of::<Glue>());
        // Not derived from `ORIGIN`: the compiler knows that nothing but one byte is reached through it.
        let place = std::ptr::with_exposed_provenance::<u8>(at);
        // SAFETY: The bytes are part of the program, are never written, and any bytes are a valid array.
        let is_glue = lies && unsafe { place.cast::<[u8; MAGIC.len()]>().read() } == MAGIC;
        if !is_glue {
            let problem = format!("no function of this program is where `{function}` is said to be");
            return Err(
                Error::new(ErrorKind::NotFound, problem).with_hint("the job's description is damaged")
            );
        }
        // SAFETY: Only the constants of this program begin so, and they are never written.
        Ok(unsafe { &*place.cast::<Glue>() })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.distance, self.program)
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::new(ErrorKind::NotFound, format!("`{text}` is no address of a function"));
        let (distance, program) = text.split_once(':').ok_or_else(wrong)?;
        Ok(Self {
            distance: distance.parse().map_err(|_| wrong())?,
            program: program.parse().map_err(|_| wrong())?,
        })
    }
}

/// The part of the process that contains this crate: the program, or a shared object.
#[derive(Debug)]
struct Object {
    /// Tells this program from other programs and builds.
    program: Digest,
    /// The ranges of addresses that cannot be written.
    constant: Vec<Range<usize>>,
}

impl Object {
    /// Whether these bytes are within one range that cannot be written.
    fn has(&self, at: usize, length: usize) -> bool {
        let end = at.checked_add(length);
        self.constant.iter().any(|range| range.contains(&at) && end.is_some_and(|end| end <= range.end))
    }
}

/// The object that contains this crate.
fn own() -> Result<&'static Object> {
    static OWN: OnceLock<Result<Object>> = OnceLock::new();
    OWN.get_or_init(find_own).as_ref().map_err(Error::again)
}

fn find_own() -> Result<Object> {
    let mut found = Found::default();
    // SAFETY: The callback gets the pointer to `found`, which lives longer than the iteration.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut found).cast()) };
    let program = match found.build_id {
        Some(id) => Digest::of(&id),
        None => program_digest()?,
    };
    Ok(Object { program, constant: found.constant })
}

/// The digest of the program's file, for programs that were linked without a build id.
fn program_digest() -> Result<Digest> {
    let failed = |error: io::Error| {
        Error::new(ErrorKind::Unexpected, format!("cannot read the program `/proc/self/exe`: {error}"))
            .with_source(error)
    };
    let mut file = File::open("/proc/self/exe").map_err(failed)?;
    let (mut digest, mut piece) = (Hashing::default(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(digest.finish()),
            Ok(length) => digest.update(&piece[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

#[derive(Default)]
struct Found {
    build_id: Option<Vec<u8>>,
    constant: Vec<Range<usize>>,
}

/// Looks at one object of the process; the iteration ends with the one that contains [`ORIGIN`].
unsafe extern "C" fn visit(
    info: *mut libc::dl_phdr_info,
    _: libc::size_t,
    found: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: The loader gives a description of a loaded object, and the pointer of `find_own`.
    let (info, found) = unsafe { (&*info, &mut *found.cast::<Found>()) };
    if info.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: The loader gives the object's headers and their number.
    let headers = unsafe { slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let range = |header: &libc::Elf64_Phdr| {
        let start = (info.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
        start..start.wrapping_add(header.p_memsz as usize)
    };
    let loaded =
        || headers.iter().filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_R != 0);
    let origin = (&raw const ORIGIN).addr();
    if !loaded().any(|header| range(header).contains(&origin)) {
        return 0;
    }
    let is_loaded = |part: &Range<usize>| {
        loaded().map(range).any(|whole| whole.start <= part.start && part.end <= whole.end)
    };
    for header in headers {
        let is_constant = header.p_type == libc::PT_LOAD
            && header.p_flags & libc::PF_W == 0
            && header.p_flags & libc::PF_R != 0;
        // What the loader has filled in and then protected; without position independence, constants are in
        // parts that are never writable.
        if is_constant || header.p_type == libc::PT_GNU_RELRO {
            found.constant.push(range(header));
        }
        let range = range(header);
        if header.p_type == libc::PT_NOTE && is_loaded(&range) {
            // SAFETY: The notes are part of what is loaded and can be read, and are not written.
            let notes =
                unsafe { slice::from_raw_parts(std::ptr::with_exposed_provenance(range.start), range.len()) };
            found.build_id = found.build_id.take().or_else(|| build_id(notes).map(<[u8]>::to_vec));
        }
    }
    1
}

/// The linker's build id within the notes of an object.
fn build_id(mut notes: &[u8]) -> Option<&[u8]> {
    const BUILD_ID: u32 = 3;
    loop {
        let (header, rest) = notes.split_first_chunk::<12>()?;
        let word =
            |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (name, content, kind) = (word(0) as usize, word(4) as usize, word(8));
        let (name_end, content_end) = (name.next_multiple_of(4), content.next_multiple_of(4));
        if kind == BUILD_ID && rest.get(..name)? == b"GNU\0" {
            return rest.get(name_end..name_end.checked_add(content)?);
        }
        notes = rest.get(name_end.checked_add(content_end)?..)?;
    }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
