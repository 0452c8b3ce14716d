//! [`Entry`]: what the attribute registers for a function.

use std::{
    any::TypeId, collections::BTreeMap, fmt, future::Future, pin::Pin, sync::OnceLock, time::Duration,
};

use super::Scope;
use crate::error::{CallError, Error, ErrorKind, Result};

/// Where a function stands in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub file: &'static str,
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

type Outcome = std::result::Result<(), CallError>;

/// An `async` function that runs.
pub type CallFuture<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// How a function is run on encoded arguments; the encoded value is appended to the buffer.
#[derive(Clone, Copy)]
pub enum RunFn {
    /// A plain function.
    Sync(for<'a> fn(&'a Scope<'a>, &'a [u8], &'a mut Vec<u8>) -> Outcome),
    /// An `async` function.
    Async(for<'a> fn(&'a Scope<'a>, &'a [u8], &'a mut Vec<u8>) -> CallFuture<'a>),
}

impl fmt::Debug for RunFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sync(_) => "Sync",
            Self::Async(_) => "Async",
        })
    }
}

/// A registered function.
#[derive(Debug)]
pub struct Entry {
    /// `module::function`.
    pub path: &'static str,
    /// The attribute's `name`.
    pub name: Option<&'static str>,
    /// Where it stands.
    pub at: Location,
    /// The attribute's `timeout`, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// The attribute's `retries`.
    pub retries: u32,
    /// The attribute's `at_most_once`.
    pub at_most_once: bool,
    /// Whether a parameter is a [`StorageClient`](crate::storage::StorageClient).
    pub uses_storage: bool,
    /// Whether a parameter is a [`DataObject`](crate::partition::DataObject).
    pub takes_object: bool,
    /// The type of the function item.
    pub type_id: fn() -> TypeId,
    /// How it is run.
    pub run: RunFn,
}

impl Entry {
    /// The name a sub-worker finds the function by. Module and name alone are not unique: two blocks may each
    /// have a function of the same name.
    #[must_use]
    pub fn id(&self) -> String {
        match self.name {
            Some(name) => name.to_owned(),
            None => format!("{}@{}:{}:{}", self.path, self.at.file, self.at.line, self.at.column),
        }
    }

    /// The name people know it by.
    #[must_use]
    pub fn display_name(&self) -> &'static str {
        self.name.unwrap_or(self.path)
    }

    /// The attribute's `timeout`.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout_ms.map(Duration::from_millis)
    }
}

/// A submitted entry.
#[derive(Debug)]
pub struct Registered(pub &'static Entry);

inventory::collect!(Registered);

/// The type of a function item, for entries.
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

/// The entry of a function item.
///
/// # Errors
/// When the function has no attribute, or two functions of the program have the same explicit name.
pub fn entry_of<F: 'static>() -> Result<&'static Entry> {
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
    let wanted = TypeId::of::<F>();
    table.by_id.values().find(|entry| (entry.type_id)() == wanted).copied().ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidInput,
            format!("`{}` is not a lithops function", std::any::type_name::<F>()),
        )
        .with_hint("put `#[lithops::function]` above it")
    })
}

/// The entry with a name, in the process that runs it.
///
/// # Errors
/// When this program has no such function.
pub fn find(id: &str) -> Result<&'static Entry> {
    table().by_id.get(id).copied().ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("this program has no lithops function `{id}`")).with_hint(
            "the function may have moved in its file since the job was stored or the program was started: \
             `#[lithops::function(name = \"..\")]` gives it a name that stays; a crate of functions that nothing names is \
             left out by the linker: add `use that_crate as _;`",
        )
    })
}
