//! [`Closure`]: the files that a program needs, and their places in the image.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use lithops_core::{
    artifact::Machine,
    error::{Error, ErrorKind, Result},
    regular,
};

use super::{
    elf::Elf,
    ld_cache,
    object::{Object, folder_of, normal, own_folders},
};

/// The most bytes of a library, 4 GiB.
const LARGEST: u64 = 4 << 30;
/// The highest level of x86-64 that all processors in use have.
const COMMON_LEVEL: u8 = 2;
/// The version of the C library from which on it looks up host names without further libraries.
const RESOLVES_ITSELF: &[u8] = b"\0GLIBC_2.34\0";
/// The libraries that an older C library loads to look up host names.
const RESOLVERS: [&str; 2] = ["libnss_files.so.2", "libnss_dns.so.2"];

/// A program or library that the image has in any case.
#[derive(Debug)]
pub(crate) struct Root {
    /// The file on this machine.
    pub(crate) path: PathBuf,
    /// Its place in the image, from `/` on.
    pub(crate) place: String,
    pub(crate) bytes: Bytes,
}

/// The files that programs need, without the programs themselves.
#[derive(Debug, Default)]
pub(crate) struct Closure {
    /// The content of loader and libraries by their place in the image.
    pub(crate) files: BTreeMap<String, Bytes>,
    /// Folders that must exist, because the loader goes through them.
    pub(crate) folders: BTreeSet<String>,
    /// The cache of the image's loader; `None` when it needs none.
    pub(crate) cache: Option<Vec<u8>>,
}

impl Closure {
    /// Finds what the programs and libraries need that run on `machine`. `folders` are looked into before the loader's
    /// cache. `any_level` allows libraries for newer processors.
    ///
    /// # Errors
    /// A library is missing, needs a newer processor, or cannot be read.
    pub(crate) fn of(roots: &[Root], machine: Machine, folders: &[PathBuf], any_level: bool) -> Result<Self> {
        let cache = regular::read(Path::new("/etc/ld.so.cache"), LARGEST).unwrap_or_default();
        let mut search = Search { machine, folders, any_level, cache, ..Search::default_for(machine) };
        for root in roots {
            search.add_root(root)?;
        }
        while let Some(index) = search.waiting.pop_front() {
            for name in search.objects[index].elf.needed.clone() {
                search.need(index, &name)?;
            }
        }
        let mut closure = search.closure;
        if !search.listed.is_empty() {
            let listed: Vec<_> = search.listed.into_iter().collect();
            closure.cache = Some(ld_cache::write(&listed, machine));
        }
        Ok(closure)
    }
}

struct Search<'a> {
    machine: Machine,
    folders: &'a [PathBuf],
    any_level: bool,
    cache: Vec<u8>,
    defaults: Vec<PathBuf>,
    objects: Vec<Object>,
    waiting: VecDeque<usize>,
    /// The names under which something is loaded already.
    loaded: BTreeSet<String>,
    /// What the image's cache lists: name and place.
    listed: BTreeMap<String, String>,
    closure: Closure,
}

impl Search<'_> {
    fn default_for(machine: Machine) -> Self {
        let triple = match machine {
            Machine::X86_64 => "x86_64-linux-gnu",
            Machine::Arm64 => "aarch64-linux-gnu",
        };
        let folders = ["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(PathBuf::from);
        let multiarch = ["/lib", "/usr/lib"].map(|folder| Path::new(folder).join(triple));
        Self {
            machine,
            folders: &[],
            any_level: false,
            cache: Vec::new(),
            defaults: multiarch.into_iter().chain(folders).collect(),
            objects: Vec::new(),
            waiting: VecDeque::new(),
            loaded: BTreeSet::new(),
            listed: BTreeMap::new(),
            closure: Closure::default(),
        }
    }

    fn add_root(&mut self, root: &Root) -> Result<()> {
        let name = root.path.display().to_string();
        let elf = Elf::parse(&root.bytes, &name)?;
        if elf.machine != self.machine {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("`{name}` was built for {}, and the image is for {}", elf.machine, self.machine),
            )
            .with_hint(format!("build it with `cargo build --target {}`", self.machine.target())));
        }
        self.check_level(&elf, &name)?;
        if let Some(interpreter) = &elf.interpreter {
            self.add_loader(interpreter, &name)?;
        }
        // A program knows its folder without links.
        let path = std::fs::canonicalize(&root.path).unwrap_or_else(|_| root.path.clone());
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned());
        self.loaded.extend(elf.soname.clone().or(file));
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        self.push(Object { name, folder, place: folder_of(&root.place).to_owned(), elf, parent: None });
        Ok(())
    }

    fn add_loader(&mut self, path: &str, name: &str) -> Result<()> {
        let place = Path::new(path);
        let bytes = regular::read(place, LARGEST).map_err(|error| {
            Error::new(ErrorKind::NotFound, format!("`{name}` needs the loader `{path}`: {error}"))
                .with_hint("install the C library of this architecture, or name a base image that has it")
        })?;
        self.loaded.extend(Elf::parse(&bytes, path)?.soname);
        self.loaded.extend(place.file_name().map(|name| name.to_string_lossy().into_owned()));
        // Some distributions have the C library beside the loader and nowhere else.
        let real = std::fs::canonicalize(place)?;
        self.defaults.extend(real.parent().map(Path::to_owned));
        self.closure.files.insert(normal(path, &mut self.closure.folders), bytes.into());
        Ok(())
    }

    /// Finds what an object needs, unless it is loaded already.
    fn need(&mut self, by: usize, name: &str) -> Result<()> {
        if self.loaded.contains(name) {
            return Ok(());
        }
        let found = self.find(by, name);
        let Some((path, place, bytes, elf, by_cache)) = found else {
            let by = &self.objects[by].name;
            return Err(Error::new(ErrorKind::NotFound, format!("`{by}` needs the library `{name}`, which was not found"))
                .with_hint(format!(
                    "install the package that has `{name}`, name its folder with `library_folder`, link it statically, \
                     or name a base image that has it"
                ))
                .with_context("library", name));
        };
        self.check_level(&elf, &path.display().to_string())?;
        if name == "libc.so.6" && memchr::memmem::find(&bytes, RESOLVES_ITSELF).is_none() {
            self.waiting.push_back(by);
            self.objects[by].elf.needed.extend(RESOLVERS.map(str::to_owned));
        }
        self.loaded.insert(name.to_owned());
        self.loaded.extend(elf.soname.clone());
        let place = normal(&place, &mut self.closure.folders);
        if by_cache {
            self.listed.insert(name.to_owned(), place.clone());
        }
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        let object = Object {
            name: path.display().to_string(),
            folder,
            place: folder_of(&place).to_owned(),
            elf,
            parent: Some(by),
        };
        self.push(object);
        match self.closure.files.insert(place.clone(), bytes.clone()) {
            Some(other) if other != bytes => Err(Error::new(
                ErrorKind::InvalidInput,
                format!("`{}` and another library would both be `{place}` in the image", path.display()),
            )
            .with_hint("put the program deeper in the image, with `program_path`")),
            _ => Ok(()),
        }
    }

    fn push(&mut self, object: Object) {
        self.waiting.push_back(self.objects.len());
        self.objects.push(object);
    }

    /// The file that the loader would take: where it is here, its place in the image, and whether it needs the cache
    /// there.
    fn find(&self, by: usize, name: &str) -> Option<(PathBuf, String, Bytes, Elf, bool)> {
        let take = |path: PathBuf, place: String, by_cache| {
            let bytes = regular::read(&path, LARGEST).ok()?;
            // The loader skips files of other machines.
            let elf = Elf::parse(&bytes, name).ok().filter(|elf| elf.machine == self.machine)?;
            Some((path, place, Bytes::from(bytes), elf, by_cache))
        };
        if name.contains('/') {
            return take(PathBuf::from(name), name.to_owned(), false).filter(|_| name.starts_with('/'));
        }
        let named = own_folders(&self.objects, by).into_iter().map(|(folder, place)| {
            (folder.join(name), format!("{}/{name}", place.trim_end_matches('/')), false)
        });
        let same = |path: PathBuf| {
            let place = path.display().to_string();
            (path, place, true)
        };
        let others = self.folders.iter().map(|folder| {
            // The caller's folder may be relative to the working directory.
            same(std::path::absolute(folder).unwrap_or_else(|_| folder.clone()).join(name))
        });
        let cached = ld_cache::find(&self.cache, name, self.machine).into_iter().map(PathBuf::from).map(same);
        let defaults = self.defaults.iter().map(|folder| same(folder.join(name)));
        named
            .chain(others)
            .chain(cached)
            .chain(defaults)
            .find_map(|(path, place, by_cache)| take(path, place, by_cache))
    }

    fn check_level(&self, elf: &Elf, name: &str) -> Result<()> {
        if self.any_level || elf.level <= COMMON_LEVEL {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::InvalidInput,
            format!("`{name}` needs a processor of level x86-64-v{}, which not all machines have", elf.level),
        )
        .with_hint("take a library that was built for all processors, or allow it with `newer_processors`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closure_of_this_test_is_its_loader_and_its_libraries() {
        let path = std::env::current_exe().unwrap();
        let bytes = Bytes::from(std::fs::read(&path).unwrap());
        let root = Root { path, place: "/lithops/program".to_owned(), bytes };
        let closure = Closure::of(&[root], Machine::here(), &[], false).unwrap();
        assert!(
            closure.files.keys().any(|place| place.ends_with("/libc.so.6")),
            "{:?}",
            closure.files.keys()
        );
        assert!(closure.files.keys().any(|place| place.contains("/ld-")), "{:?}", closure.files.keys());
        let cache = closure.cache.unwrap();
        let listed = ld_cache::find(&cache, "libc.so.6", Machine::here());
        assert!(listed.len() == 1 && closure.files.contains_key(&listed[0]), "{listed:?}");
    }
}
