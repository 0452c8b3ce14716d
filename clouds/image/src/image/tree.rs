//! [`Tree`]: the files of a layer, by their place.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use lithops_core::error::{Error, ErrorKind, Result};

/// What is at a place of the layer. Modes are fixed, so that the layer does not depend on who builds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Folder {
        mode: u32,
    },
    File {
        content: Content,
        mode: u32,
    },
    /// A link, with its target as it is written.
    Link(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Bytes(Bytes),
    /// A file that is read when the layer is written.
    File(PathBuf),
}

/// The files of a layer, by their place, which has no `/` in front.
#[derive(Debug, Default)]
pub(crate) struct Tree(BTreeMap<String, Node>);

const FOLDER: Node = Node::Folder { mode: 0o755 };

impl Tree {
    /// The files, each after the folder that it is in.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.0.iter().map(|(place, node)| (place.as_str(), node))
    }

    /// Adds bytes as a file.
    ///
    /// # Errors
    /// Something else is there, or the place is not absolute.
    pub(crate) fn add_bytes(&mut self, place: &str, bytes: impl Into<Bytes>, mode: u32) -> Result<()> {
        self.add(place, Node::File { content: Content::Bytes(bytes.into()), mode })
    }

    /// Adds a folder, unless it is there.
    ///
    /// # Errors
    /// Something else is there, or the place is not absolute.
    pub(crate) fn add_folder(&mut self, place: &str, mode: u32) -> Result<()> {
        self.add(place, Node::Folder { mode })
    }

    /// Adds a file, or a folder with all that is in it. Links that stay within the folder are links in the image too;
    /// other links to files are replaced by the file.
    ///
    /// # Errors
    /// It cannot be read, is a device or a pipe, has a link to a folder elsewhere, or something else is at its place.
    pub(crate) fn add_path(&mut self, path: &Path, place: &str) -> Result<()> {
        let real = fs::canonicalize(path).map_err(|error| unreadable(path, &error))?;
        self.add_real(&real, place, &real)
    }

    fn add_real(&mut self, path: &Path, place: &str, top: &Path) -> Result<()> {
        let found = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        if found.is_file() {
            let mode = if found.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
            return self.add(place, Node::File { content: Content::File(path.to_owned()), mode });
        }
        if !found.is_dir() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("`{}` is neither a file nor a folder", path.display()),
            )
            .with_hint("leave it out of the image"));
        }
        self.add(place, FOLDER)?;
        for entry in fs::read_dir(path).map_err(|error| unreadable(path, &error))? {
            let inner = entry.map_err(|error| unreadable(path, &error))?.path();
            let name = inner.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
                Error::new(ErrorKind::InvalidInput, format!("the name of `{}` is not UTF-8", inner.display()))
                    .with_hint("rename it")
            })?;
            let place = format!("{}/{name}", place.trim_end_matches('/'));
            let Ok(target) = fs::read_link(&inner) else {
                self.add_real(&inner, &place, top)?;
                continue;
            };
            let real = fs::canonicalize(&inner).map_err(|error| unreadable(&inner, &error))?;
            if target.is_relative() && real.starts_with(top) {
                self.add(&place, Node::Link(target))?;
            } else if real.is_dir() {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("the link `{}` leads to the folder `{}`", inner.display(), real.display()),
                )
                .with_hint("add that folder itself with `with`, and remove the link"));
            } else {
                self.add_real(&real, &place, top)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, place: &str, node: Node) -> Result<()> {
        let refuse = |why: &str, hint: &str| {
            Err(Error::new(
                ErrorKind::InvalidInput,
                format!("`{place}` cannot be a place in the image: {why}"),
            )
            .with_hint(hint))
        };
        let parts: Vec<_> = place.split('/').skip(1).filter(|part| !part.is_empty()).collect();
        if !place.starts_with('/') || parts.iter().any(|part| [".", ".."].contains(part)) {
            return refuse("it is not absolute", "write it from `/` on, without `..`");
        }
        for end in 1..parts.len() {
            let parent = self.0.entry(parts[..end].join("/")).or_insert(FOLDER);
            if !matches!(parent, Node::Folder { .. }) {
                return refuse("something above it is a file", "choose another place for one of them");
            }
        }
        if parts.is_empty() {
            return match node {
                Node::Folder { .. } => Ok(()),
                _ => refuse("it is the whole image", "name a file below it"),
            };
        }
        let node = match self.0.insert(parts.join("/"), node.clone()) {
            None => return Ok(()),
            Some(other) if other == node => return Ok(()),
            Some(other) => other,
        };
        // A folder that was made for what is in it does not change the one that was asked for.
        match (&node, self.0.get(&parts.join("/"))) {
            (Node::Folder { .. }, Some(Node::Folder { .. })) => Ok(()),
            _ => refuse("two different files would be there", "choose another place for one of them"),
        }
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    let kind = Error::from(std::io::Error::from(error.kind())).kind();
    Error::new(kind, format!("`{}` cannot be put into the image: {error}", path.display()))
        .with_hint("does it exist, and may this user read it?")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_folder_is_added_with_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("data/inner")).unwrap();
        fs::create_dir(at("other")).unwrap();
        fs::write(at("data/inner/a"), "a").unwrap();
        fs::write(at("outside"), "o").unwrap();
        symlink("inner/a", at("data/link")).unwrap();
        symlink("inner", at("data/folder")).unwrap();
        symlink(at("outside"), at("data/outside")).unwrap();
        let mut tree = Tree::default();
        tree.add_path(&at("data"), "/x").unwrap();
        let places: Vec<_> = tree.iter().map(|(place, _)| place).collect();
        assert_eq!(places, ["x", "x/folder", "x/inner", "x/inner/a", "x/link", "x/outside"]);
        assert_eq!(tree.0["x/link"], Node::Link("inner/a".into()));
        assert!(matches!(&tree.0["x/outside"], Node::File { mode: 0o644, .. }));

        symlink(at("other"), at("data/leaves")).unwrap();
        let error = tree.add_path(&at("data"), "/y").unwrap_err().to_string();
        assert!(error.contains("leaves` leads to the folder"), "{error}");
        let error = tree.add_path(&at("none"), "/y").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }

    #[test]
    fn two_files_at_one_place_are_refused() {
        let mut tree = Tree::default();
        tree.add_bytes("/a/b", "1", 0o644).unwrap();
        tree.add_bytes("/a/b", "1", 0o644).unwrap();
        for (place, why) in [
            ("/a/b", "two different"),
            ("/a/b/c", "above it"),
            ("a", "not absolute"),
            ("/a/../b", "not absolute"),
        ] {
            let error = tree.add_bytes(place, "2", 0o644).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert!(tree.add_bytes("/a", "2", 0o644).is_err());
    }
}
