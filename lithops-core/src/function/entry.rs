//! [`Entry`]: the registration of a function.

use std::{
    any::TypeId,
    collections::BTreeMap,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use super::{Function, RunFn, address::Address, any_result, glue::Glue};
use crate::error::{Error, ErrorKind, Result};

/// The place of a function in its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// The path of the file, as the compiler knows it.
    pub file: &'static str,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
}

/// A function that can be run: one that the attribute has registered, or one that is found by its address.
#[derive(Debug)]
pub struct Entry {
    /// The path `module::function`; of a closure, also its place.
    pub path: &'static str,
    /// The attribute's `name`; `None` when it has none.
    pub name: Option<&'static str>,
    /// The place of the function in its source.
    pub at: Location,
    /// The attribute's `timeout`, in milliseconds; `None` when it has none.
    pub timeout_ms: Option<u64>,
    /// The attribute's `retries`: how often a failed call is tried again.
    pub retries: u32,
    /// The attribute's `at_most_once`: whether a call may be begun only once.
    pub at_most_once: bool,
    /// Whether a parameter is a [`StorageClient`](crate::storage::StorageClient).
    pub uses_storage: bool,
    /// Whether a parameter is a [`DataObject`](crate::partition::DataObject).
    pub takes_object: bool,
    /// The type of the function item, by which the client finds the entry.
    pub type_id: fn() -> TypeId,
    /// Runs the function.
    pub run: RunFn,
    /// Where a function without the attribute is; `None` for one with it.
    pub address: Option<Address>,
}

/// What an id begins with that contains an address.
const BY_ADDRESS: &str = "at:";

impl Entry {
    /// The name by which a sub-worker finds the function. Path and name alone are not unique: two blocks may
    /// each have a function of the same name.
    #[must_use]
    pub fn id(&self) -> String {
        match (self.name, self.address) {
            (Some(name), _) => name.to_owned(),
            (None, Some(address)) => format!("{BY_ADDRESS}{address}:{}", self.path),
            (None, None) => format!("{}@{}:{}:{}", self.path, self.at.file, self.at.line, self.at.column),
        }
    }

    /// The function's name in messages and lists.
    #[must_use]
    pub fn display_name(&self) -> &'static str {
        self.name.unwrap_or(self.path)
    }

    /// The attribute's `timeout`; `None` when it has none.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout_ms.map(Duration::from_millis)
    }
}

/// An entry that was submitted to the registry at link time.
#[derive(Debug)]
pub struct Registered(pub &'static Entry);

inventory::collect!(Registered);

/// The type of a function item, for [`Entry::type_id`].
pub fn type_id_of<F: 'static>(_: &F) -> TypeId {
    TypeId::of::<F>()
}

struct Table {
    by_id: BTreeMap<String, &'static Entry>,
    duplicate: Option<(&'static Entry, &'static Entry)>,
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = Table { by_id: BTreeMap::new(), duplicate: None };
        for Registered(entry) in inventory::iter::<Registered> {
            if let Some(other) = table.by_id.insert(entry.id(), entry) {
                table.duplicate = Some((other, entry));
            }
        }
        table
    })
}

/// The entry of a function. `at` is the place of the call that is given the function, for its name.
///
/// # Errors
/// When two functions of the program have the same explicit name; or the function has no attribute, and cannot
/// be found by its address or returns what cannot be sent.
pub fn entry_of<F: Function<K>, K>(at: &'static std::panic::Location<'static>) -> Result<&'static Entry> {
    let table = table();
    if let Some((one, other)) = table.duplicate {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!(
                "`{}` ({}:{}) and `{}` ({}:{}) are both named `{}`",
                one.path,
                one.at.file,
                one.at.line,
                other.path,
                other.at.file,
                other.at.line,
                one.id()
            ),
        )
        .with_hint("give each `#[lithops::function(name = \"..\")]` a name of its own"));
    }
    let wanted = typeid::of::<F>();
    match table.by_id.values().find(|entry| (entry.type_id)() == wanted) {
        Some(entry) => Ok(entry),
        None => unregistered(wanted, F::GLUE, at),
    }
}

/// The entry with this id, in the process that runs the function.
///
/// # Errors
/// When this program has no such function.
pub fn find(id: &str) -> Result<&'static Entry> {
    if let Some(entry) = table().by_id.get(id) {
        return Ok(entry);
    }
    if let Some(by_address) = id.strip_prefix(BY_ADDRESS) {
        return found_by_address(by_address);
    }
    Err(Error::new(ErrorKind::NotFound, format!("this program has no lithops function `{id}`")).with_hint(
        "the function may have moved in its file since the job was stored or the program was started: \
         `#[lithops::function(name = \"..\")]` gives it a name that stays; a crate of functions that nothing names is \
         left out by the linker: add `use that_crate as _;`",
    ))
}

/// The entry of a function without the attribute, in the client. It is made once.
fn unregistered(
    type_id: TypeId,
    glue: &'static Glue,
    at: &'static std::panic::Location<'static>,
) -> Result<&'static Entry> {
    static MADE: Mutex<BTreeMap<TypeId, &'static Entry>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(entry) = made.get(&type_id) {
        return Ok(entry);
    }
    let name = (glue.name)();
    let path = match name.ends_with("{{closure}}") {
        true => format!("{name} at {}:{}", at.file(), at.line()).leak(),
        false => name,
    };
    if !any_result::is_supported() {
        let problem = format!("`{path}` has no attribute, and this compiler's programs need it");
        return Err(
            Error::new(ErrorKind::Unsupported, problem).with_hint("put `#[lithops::function]` above it")
        );
    }
    if let Some(problem) = (glue.problem)() {
        let problem = format!("`{path}` cannot be run: {}", problem.message());
        return Err(Error::new(ErrorKind::InvalidInput, problem));
    }
    let place = Location { file: at.file(), line: at.line(), column: at.column() };
    let entry = entry_at(path, place, glue, Address::of(glue)?);
    made.insert(type_id, entry);
    Ok(entry)
}

/// The entry of a function without the attribute, in the process that runs it. It is made once.
fn found_by_address(id: &str) -> Result<&'static Entry> {
    static FOUND: Mutex<BTreeMap<String, &'static Entry>> = Mutex::new(BTreeMap::new());
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(entry) = found.get(id) {
        return Ok(entry);
    }
    let malformed = || Error::new(ErrorKind::NotFound, format!("`{id}` is no address of a function"));
    let (distance, rest) = id.split_once(':').ok_or_else(malformed)?;
    let (program, path) = rest.split_once(':').ok_or_else(malformed)?;
    let address: Address = format!("{distance}:{program}").parse()?;
    let glue = address.glue(path)?;
    if !any_result::is_supported() {
        return Err(Error::new(ErrorKind::Unsupported, format!("`{path}` has no attribute")));
    }
    let entry = entry_at((glue.name)(), Location { file: "", line: 0, column: 0 }, glue, address);
    found.insert(id.to_owned(), entry);
    Ok(entry)
}

fn entry_at(path: &'static str, at: Location, glue: &'static Glue, address: Address) -> &'static Entry {
    Box::leak(Box::new(Entry {
        path,
        name: None,
        at,
        timeout_ms: None,
        retries: 0,
        at_most_once: false,
        uses_storage: glue.uses_storage,
        takes_object: glue.takes_object,
        // Entries are found by type only where the attribute has registered them.
        type_id: TypeId::of::<()>,
        run: (glue.run)(),
        address: Some(address),
    }))
}
