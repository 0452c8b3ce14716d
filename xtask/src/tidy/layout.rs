//! How long files are, how they begin, what a `mod.rs` may hold, and how many files a folder may have.

use std::collections::BTreeMap;

use super::{finding::Finding, tree::Tree};

/// A file that is longer is two files.
const LIMIT: usize = 900;
/// A file that is longer is worth a thought.
const LONG: usize = 600;
/// A folder with more files has several subjects.
const FILES: usize = 16;

/// Folders that still have more files, and how many.
const FULL_FOLDERS: &[(&str, usize)] = &[
    ("lithops-core/src/protocol", 17),
    ("lithops-core/src/storage", 17),
    ("tests/conformance/src/compute", 19),
];

/// Checks all Rust files.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = full_folders(tree, FULL_FOLDERS);
    for (path, text) in tree.texts(".rs") {
        let lines = text.lines().count();
        if lines > LIMIT {
            findings.push(Finding::error(
                path,
                LIMIT,
                format!("{lines} lines, and {LIMIT} is the limit: split it"),
            ));
        } else if lines > LONG {
            findings.push(Finding::note(path, LONG, format!("{lines} lines: it may want to be two files")));
        }
        if !text.starts_with("//!") {
            findings.push(Finding::error(path, 1, "start with a `//!` line that says what it is for"));
        }
        if path.ends_with("/mod.rs") {
            findings.extend(foreign_to_mod(path, text));
        }
    }
    findings
}

/// Folders of sources with too many files.
fn full_folders(tree: &Tree, exceptions: &[(&str, usize)]) -> Vec<Finding> {
    let mut files = BTreeMap::<&str, usize>::new();
    for (path, _) in tree.texts(".rs") {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        if format!("/{folder}/").contains("/src/") {
            *files.entry(folder).or_default() += 1;
        }
    }
    let most =
        |folder: &str| exceptions.iter().find(|(one, _)| *one == folder).map_or(FILES, |(_, most)| *most);
    let full = files.into_iter().filter(|(folder, count)| *count > most(folder));
    full.map(|(folder, count)| {
        let message =
            format!("{count} files in one folder, and {FILES} is the limit: make folders of subjects");
        Finding::error(folder, 1, message)
    })
    .collect()
}

/// Lines of a `mod.rs` that are neither documentation nor attributes nor `mod` nor `use`.
fn foreign_to_mod(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut within = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if within {
            within = !line.ends_with(';');
            continue;
        }
        let item = line.strip_prefix("pub(crate) ").or_else(|| line.strip_prefix("pub(super) "));
        let item = item.or_else(|| line.strip_prefix("pub ")).unwrap_or(line);
        if item.starts_with("use ") || (item.starts_with("mod ") && item.ends_with(';')) {
            within = !item.ends_with(';');
        } else if !(line.is_empty() || line.starts_with("//") || line.starts_with('#')) {
            let message =
                "a `mod.rs` holds documentation, `mod` and `use` only: move this to a file with a name";
            findings.push(Finding::error(path, index + 1, message));
            break;
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        check(&Tree::of([(path, text)])).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn long_files_are_noted_and_then_refused() {
        let file = |lines: usize| "//! x\n".repeat(lines);
        assert!(messages("src/a.rs", &file(600)).is_empty());
        assert!(messages("src/a.rs", &file(601))[0].starts_with("src/a.rs:600: note: 601 lines"));
        assert!(messages("src/a.rs", &file(900))[0].contains("note: "));
        assert!(messages("src/a.rs", &file(901))[0].starts_with("src/a.rs:900: 901 lines"));
    }

    #[test]
    fn a_folder_with_too_many_files_is_found() {
        let names: Vec<_> = (0..=FILES).map(|number| format!("x/src/a/{number}.rs")).collect();
        let tree = |folder: &str| {
            let all: [(&str, &str); FILES + 1] =
                std::array::from_fn(|index| (names[index].as_str(), "//! x"));
            let mut few = all;
            few[0].0 = folder;
            (Tree::of(all), Tree::of(few))
        };
        let (full, fits) = tree("x/src/b/0.rs");
        let found = full_folders(&full, &[]);
        assert!(found.len() == 1 && found[0].path == "x/src/a" && found[0].message.starts_with("17 files"));
        assert!(full_folders(&full, &[("x/src/a", 17)]).is_empty());
        assert!(full_folders(&fits, &[]).is_empty());
    }

    #[test]
    fn a_file_says_what_it_is_for() {
        assert!(messages("src/a.rs", "use x;\n")[0].starts_with("src/a.rs:1: start with"));
    }

    #[test]
    fn a_mod_file_holds_no_code() {
        let good = "//! x\n\n#[cfg(test)]\nmod a;\npub mod b;\npub(crate) use a::{\n    c,\n    d,\n};\nuse b::e as _;\n";
        assert!(messages("src/x/mod.rs", good).is_empty());
        for bad in ["fn f() {}", "pub struct S;", "mod inline {", "const X: u8 = 1;", "macro_rules! m {"] {
            let found = messages("src/x/mod.rs", &format!("//! x\nmod a;\n{bad}\n}}\n"));
            assert!(
                found.len() == 1 && found[0].starts_with("src/x/mod.rs:3: a `mod.rs` holds"),
                "{bad}: {found:?}"
            );
        }
    }
}
