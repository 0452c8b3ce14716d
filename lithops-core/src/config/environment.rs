//! [`Environment`]: everything outside the program that the search for a configuration depends on, as a
//! value.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

/// The working directory, the home directory and the environment variables of a search for a configuration.
#[derive(Clone)]
pub struct Environment {
    cwd: PathBuf,
    home: Option<PathBuf>,
    system: PathBuf,
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// An environment without home directory and variables.
    pub fn new(cwd: impl Into<PathBuf>) -> Self {
        Self { cwd: cwd.into(), home: None, system: PathBuf::from("/etc"), variables: BTreeMap::new() }
    }

    /// The environment of this process. Variables that are not text are left out.
    #[must_use]
    pub fn from_process() -> Self {
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        // A deleted working directory is no error: no configuration can be in it.
        let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        Self { cwd, home, system: PathBuf::from("/etc"), variables }
    }

    /// Sets the home directory.
    #[must_use]
    pub fn with_home(mut self, home: impl Into<PathBuf>) -> Self {
        self.home = Some(home.into());
        self
    }

    /// Sets the directory of the system's configuration; `/etc` by default.
    #[must_use]
    pub fn with_system(mut self, system: impl Into<PathBuf>) -> Self {
        self.system = system.into();
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn with_variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// The working directory.
    #[must_use]
    pub fn cwd(&self) -> &Path {
        &self.cwd
    }

    /// The home directory; `None` when it is unknown.
    #[must_use]
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The directory of the system's configuration.
    #[must_use]
    pub fn system(&self) -> &Path {
        &self.system
    }

    /// The value of a variable; a blank value counts as not set.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.trim().is_empty())
    }
}

impl fmt::Debug for Environment {
    /// Leaves the variables' values out: some are credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("cwd", &self.cwd)
            .field("home", &self.home)
            .field("system", &self.system)
            .field("variables", &self.variables.keys())
            .finish()
    }
}
