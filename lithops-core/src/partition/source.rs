//! [`DataSource`]: what a job is to read.

use std::path::PathBuf;

use crate::function::Argument;

/// Objects, files and URLs that a job reads, part by part: the inputs of a function with a
/// [`DataObject`](super::DataObject) parameter. `A` is what the function takes besides. Parts are cut between
/// records, which are bytes: see there.
///
/// What is found and cannot be read is an error that names it, before the job starts: nothing is left out but
/// what is said here.
#[derive(Debug, Clone)]
#[must_use = "a data source is given to `map` or `map_reduce`"]
pub struct DataSource<A = ()> {
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) with: A,
}

/// One thing that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// `bucket/key`, with or without `scheme://`.
    Object(String),
    /// All objects that start so.
    Prefix(String),
    /// All objects that match.
    Glob(String),
    /// `http://` or `https://`.
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

    /// All objects whose names start so, sorted: `bucket/`, `bucket/logs/`, `bucket/logs/2026-`. What jobs
    /// store of themselves, in `lithops.jobs/` and `lithops.history/`, is left out, and so are folder
    /// markers: empty objects whose keys end in `/`, as consoles put them.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self::new([Wanted::Prefix(prefix.into())])
    }

    /// All objects whose names match, sorted: `*` and `?` are anything but `/`, `**` any folders, `[a-z]` one
    /// of these.
    pub fn glob(pattern: impl Into<String>) -> Self {
        Self::new([Wanted::Glob(pattern.into())])
    }

    /// What a URL gives. It can be cut into parts where the server answers requests for ranges.
    pub fn url(url: impl Into<String>) -> Self {
        Self::new([Wanted::Url(url.into())])
    }

    /// A file, or all files below a folder, sorted. Links to folders are not followed; links to nothing,
    /// pipes, sockets and devices are errors, and so are files that have no size and are not empty, as in
    /// `/proc`. Only where workers run on this machine.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self::new([Wanted::Path(path.into())])
    }

    /// What the function takes besides the object: its argument, or a tuple for several. Each call gets the
    /// same.
    pub fn with<A: Argument>(self, with: A) -> DataSource<A> {
        DataSource { wanted: self.wanted, with }
    }
}

impl<A> DataSource<A> {
    /// What another source has comes after what this one has.
    pub fn and(mut self, other: DataSource) -> Self {
        self.wanted.extend(other.wanted);
        self
    }
}
