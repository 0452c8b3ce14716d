//! [`Object`]: a program or library that the loader has loaded, and the folders that it names.

use std::{collections::BTreeSet, path::PathBuf};

use super::elf::Elf;

/// A program or library that the loader has loaded.
pub(crate) struct Object {
    /// How messages name it.
    pub(crate) name: String,
    /// Its folder on this machine, and in the image: what `$ORIGIN` means.
    pub(crate) folder: PathBuf,
    pub(crate) place: String,
    pub(crate) elf: Elf,
    /// The object that was the first to need it.
    pub(crate) parent: Option<usize>,
}

/// The folders that the object and those that loaded it name: here, and in the image.
pub(crate) fn own_folders(objects: &[Object], by: usize) -> Vec<(PathBuf, String)> {
    let mut folders = Vec::new();
    let mut add = |object: &Object, named: &[String]| {
        for folder in named {
            let rest = ["$ORIGIN", "${ORIGIN}"].into_iter().find_map(|origin| folder.strip_prefix(origin));
            match rest {
                Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                    let here = format!("{}{rest}", object.folder.display());
                    folders.push((PathBuf::from(here), format!("{}{rest}", object.place)));
                }
                None if folder.starts_with('/') && !folder.contains('$') => {
                    folders.push((PathBuf::from(folder), folder.clone()));
                }
                // What depends on the working directory or the processor is not for an image.
                _ => {}
            }
        }
    };
    let object = &objects[by];
    if let Some(named) = &object.elf.runpath {
        add(object, named);
        return folders;
    }
    let mut next = Some(object);
    while let Some(object) = next {
        if object.elf.runpath.is_none() {
            add(object, &object.elf.rpath);
        }
        next = object.parent.map(|parent| &objects[parent]);
    }
    folders
}

/// The folder of a place in the image; empty for the uppermost.
pub(crate) fn folder_of(place: &str) -> &str {
    place.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A place without `.` and `..`; folders that it goes through and leaves again are added to `through`.
pub(crate) fn normal(place: &str, through: &mut BTreeSet<String>) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in place.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if !parts.is_empty() {
                    through.insert(format!("/{}", parts.join("/")));
                }
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_no_dots_and_what_it_goes_through_is_known() {
        let mut through = BTreeSet::new();
        assert_eq!(normal("/lithops/../lib/./x.so", &mut through), "/lib/x.so");
        assert_eq!(normal("/../../x", &mut through), "/x");
        assert_eq!(through.into_iter().collect::<Vec<_>>(), ["/lithops"]);
    }
}
