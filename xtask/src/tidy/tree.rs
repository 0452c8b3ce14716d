//! [`Tree`]: the files of the repository, read once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

/// The files of the repository by path from its root, with the text of those that rules look into.
#[derive(Debug, Default)]
pub(super) struct Tree {
    files: BTreeMap<String, Option<String>>,
    folders: BTreeSet<String>,
}

impl Tree {
    /// Reads the repository, without what is built and without git's own.
    pub(super) fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        Ok(tree)
    }

    /// A tree of these files, for the tests of rules.
    #[cfg(test)]
    pub(super) fn of<const N: usize>(files: [(&str, &str); N]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.files.insert(path.to_owned(), Some(text.to_owned()));
            for (index, _) in path.match_indices('/') {
                tree.folders.insert(path[..index].to_owned());
            }
        }
        tree
    }

    /// The text of a file.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// The files whose name ends like this, with their text.
    pub(super) fn texts<'a>(&'a self, ending: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.ends_with(ending))
            .filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    /// Whether there is a file or folder of that path, from the root or from any folder.
    pub(super) fn names(&self, path: &str) -> bool {
        let is_folder = path.ends_with('/');
        let path = path.trim_end_matches('/');
        let is = |known: &str| {
            known.strip_suffix(path).is_some_and(|front| front.is_empty() || front.ends_with('/'))
        };
        self.folders.iter().any(|folder| is(folder)) || (!is_folder && self.files.keys().any(|file| is(file)))
    }

    /// The folders directly within a folder.
    pub(super) fn folders_in<'a>(&'a self, parent: &'a str) -> impl Iterator<Item = &'a str> {
        let names =
            self.folders.iter().filter_map(move |folder| folder.strip_prefix(parent)?.strip_prefix('/'));
        names.filter(|name| !name.contains('/'))
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() {
                if name != ".git" && name != "target" {
                    self.read_folder(&entry.path(), &format!("{path}/"))?;
                    self.folders.insert(path);
                }
            } else if kind.is_file() {
                let is_read =
                    [".rs", ".md", ".toml", "capabilities.yaml"].iter().any(|ending| name.ends_with(ending));
                let text = if is_read { Some(fs::read_to_string(entry.path())?) } else { None };
                self.files.insert(path, text);
            }
        }
        Ok(())
    }
}
