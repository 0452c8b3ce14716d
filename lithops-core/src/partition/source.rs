//! [`DataSource`]: what a job reads.

use std::path::PathBuf;

use crate::function::Argument;

/// Objects, files and URLs that a job reads part by part: the inputs of a function with a
/// [`DataObject`](super::DataObject) parameter. `A` is the type of the function's other argument. Parts are
/// cut between records, as the documentation of [`DataObject`](super::DataObject) describes.
///
/// Anything that is found and cannot be read is an error that names it, before the job starts. Only the
/// objects that the methods below mention are left out.
#[derive(Debug, Clone)]
#[must_use = "a data source is given to `map` or `map_reduce`"]
pub struct DataSource<A = ()> {
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) with: A,
}

/// One entry of a data source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// An object by its name: `bucket/key`, with or without `scheme://`.
    Object(String),
    /// All objects whose names start with this.
    Prefix(String),
    /// All objects whose names match this pattern.
    Glob(String),
    /// A URL with `http://` or `https://`.
    Url(String),
    /// A file, or all files below a folder.
    Path(PathBuf),
}

impl DataSource {
    fn new(wanted: impl IntoIterator<Item = Wanted>) -> Self {
        Self { wanted: wanted.into_iter().collect(), with: () }
    }

    /// Objects by name, `bucket/key` or `s3://bucket/key`, in this order.
    pub fn objects<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self::new(names.into_iter().map(|name| Wanted::Object(name.into())))
    }

    /// All objects whose names start with `prefix`, sorted: `bucket/`, `bucket/logs/`, `bucket/logs/2026-`.
    /// Lithops' own objects, such as those in `lithops.jobs/` and `lithops.history/`, are left out unless the
    /// prefix names their folder. Folder markers are left out too: empty objects whose keys end in `/`, as
    /// consoles create them.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self::new([Wanted::Prefix(prefix.into())])
    }

    /// All objects whose names match, sorted: `*` and `?` match anything but `/`, `**` any folders, `[a-z]`
    /// one of these characters.
    pub fn glob(pattern: impl Into<String>) -> Self {
        Self::new([Wanted::Glob(pattern.into())])
    }

    /// The content of a URL. It can be cut into parts where the server answers requests for ranges.
    pub fn url(url: impl Into<String>) -> Self {
        Self::new([Wanted::Url(url.into())])
    }

    /// A file, or all files below a folder, sorted. Links to folders are not followed; links to nothing,
    /// pipes, sockets and devices are errors, and so are files that have size 0 but content, as in `/proc`.
    /// Works only where workers run on this machine.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self::new([Wanted::Path(path.into())])
    }

    /// The argument of the function besides the object, or a tuple for several. Each call gets the same
    /// value.
    pub fn with<A: Argument>(self, with: A) -> DataSource<A> {
        DataSource { wanted: self.wanted, with }
    }
}

impl<A> DataSource<A> {
    /// Appends the entries of another source to those of this one.
    pub fn and(mut self, other: DataSource) -> Self {
        self.wanted.extend(other.wanted);
        self
    }
}
