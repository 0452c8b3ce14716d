//! Words that documentation must not use: those that leave open who does something, and those that only this
//! repository would understand. Looked at are doc comments and documents, and of the library also its identifiers.

use std::collections::BTreeMap;

use super::{finding::Finding, source::code, tree::Tree};

/// How often the words may still stand in the files below a folder; nothing anywhere else. The first folder that a path
/// begins with counts.
const ALLOWED: &[(&str, usize)] = &[];

/// A word, and what to write instead.
type Word = (&'static str, &'static str);

/// In all doc comments and documents.
const VAGUE: &[Word] = &[
    ("nobody", "say what does not happen, or which part does not do it"),
    ("somebody", "name the part: a client, another program, a user"),
    ("someone", "name the part: a client, another program, a user"),
    ("whoever", "name the part that does it"),
    ("whomever", "name the part"),
    ("whatever", "name the thing, or write `any`"),
    ("so many", "name the number: `this many`, `at most N`"),
    ("thereof", "name the thing"),
    ("whereof", "name the thing"),
    ("hence", "write `therefore`, or `so`"),
    ("thereby", "write `so`, or two sentences"),
    ("herein", "name the place"),
];

/// In the documentation and the identifiers of the library: words that have been replaced by the field's terms.
const REPLACED: &[Word] = &[
    ("pursuit", "`leadership`"),
    ("gathering", "`fleet driver`"),
    ("shelf", "`commit buffer`"),
    ("parcel", "`payload`, or `blob`"),
    ("depot", "`payload store`"),
    ("door", "`transport`"),
    ("stint", "`job session`"),
    ("hired", "`client fleet`"),
    ("errand", "`pending request`"),
];

/// Names of types that have been replaced, and are ordinary words elsewhere.
const REPLACED_TYPES: &[Word] = &[
    ("Relay", "`DeferredReduce`"),
    ("Looks", "`OutcomePoller`"),
    ("Shift", "`ChunkRun`"),
    ("Heart", "`Heartbeat`"),
    ("Pulse", "`Liveness`"),
    ("Felt", "`HeartbeatResult`"),
    ("Shipped", "`StoredProgram`"),
    ("Surroundings", "`ResolveContext`"),
];

const DOCUMENTS: &[&str] = &["ARCHITECTURE.md", "CONTRIBUTING.md"];
const LIBRARY: &[&str] = &["lithops-core/src/", "lithops-worker/src/"];

/// Checks doc comments, documents and the library's identifiers.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    check_allowing(tree, ALLOWED)
}

fn check_allowing(tree: &Tree, allowed: &[(&str, usize)]) -> Vec<Finding> {
    let mut found = BTreeMap::<&str, Vec<Finding>>::new();
    let mut add = |finding: Finding| {
        let folder =
            allowed.iter().map(|(folder, _)| *folder).find(|folder| finding.path.starts_with(folder));
        found.entry(folder.unwrap_or_default()).or_default().push(finding);
    };
    for (path, text) in tree.texts(".rs") {
        let is_library = LIBRARY.iter().any(|folder| path.starts_with(folder));
        for (line, words) in documentation(text) {
            in_prose(path, line, words, is_library).into_iter().for_each(&mut add);
        }
        if is_library {
            for (index, line) in code(text).lines().enumerate() {
                in_code(path, index + 1, line).into_iter().for_each(&mut add);
            }
        }
    }
    for (path, text) in tree.texts(".md") {
        if path.starts_with("docs/") || DOCUMENTS.contains(&path) {
            for (line, words) in prose(text) {
                in_prose(path, line, words, true).into_iter().for_each(&mut add);
            }
        }
    }
    let most = |folder: &str| allowed.iter().find(|(one, _)| *one == folder).map_or(0, |(_, most)| *most);
    found
        .into_iter()
        .filter(|(folder, found)| found.len() > most(folder))
        .flat_map(|(_, found)| found)
        .collect()
}

/// The doc comments, by line.
fn documentation(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let line = line.trim_start();
        Some((index + 1, line.strip_prefix("///").or_else(|| line.strip_prefix("//!"))?))
    })
}

/// The lines of a document outside of its blocks of code.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        (!is_code && !is_fence).then_some((index + 1, line))
    })
}

fn in_prose(path: &str, line: usize, text: &str, is_library: bool) -> Vec<Finding> {
    let text = text.to_lowercase();
    let replaced = if is_library { REPLACED } else { &[] };
    let words = VAGUE.iter().chain(replaced);
    let is_there = |word: &str| {
        text.match_indices(word).any(|(at, _)| {
            let after = &text[at + word.len()..];
            let after = after.strip_prefix('s').unwrap_or(after);
            !text[..at].ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric)
        })
    };
    words.filter(|(word, _)| is_there(word)).map(|word| finding(path, line, word)).collect()
}

fn in_code(path: &str, line: usize, code: &str) -> Vec<Finding> {
    let identifiers = code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|name| !name.is_empty());
    let mut findings = Vec::new();
    for name in identifiers {
        findings.extend(
            REPLACED_TYPES.iter().filter(|(word, _)| *word == name).map(|word| finding(path, line, word)),
        );
        let words = parts(name);
        let is_there =
            |word: &str| words.iter().any(|own| own == word || own.strip_suffix('s') == Some(word));
        findings
            .extend(REPLACED.iter().filter(|(word, _)| is_there(word)).map(|word| finding(path, line, word)));
    }
    findings.sort();
    findings.dedup();
    findings
}

/// The words of an identifier, in small letters: of `take_back`, `TakeBack` and `TAKE_BACK` the same.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut was_small = false;
    for c in name.chars() {
        if (c == '_' || (c.is_uppercase() && was_small)) && parts.last().is_some_and(|part| !part.is_empty())
        {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut().filter(|_| c != '_') {
            part.extend(c.to_lowercase());
        }
        was_small = c.is_lowercase();
    }
    parts
}

fn finding(path: &str, line: usize, (word, instead): &Word) -> Finding {
    Finding::error(path, line, format!("`{word}` is a word to avoid: {instead}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let mut lines: Vec<_> =
            check_allowing(&Tree::of([(path, text)]), &[]).iter().map(|finding| finding.line).collect();
        lines.sort_unstable();
        lines
    }

    #[test]
    fn words_in_doc_comments_and_documents_are_found() {
        let text = "//! Nobody asks.\n/// So many of them, whatever they are.\nfn f() {} // nobody\nlet x = \"nobody\";\n\
                    \t/// What somebody's worker says.\n/// Henceforth a busybody.\n";
        assert_eq!(lines("xtask/src/a.rs", text), [1, 2, 2, 5]);
        assert_eq!(lines("docs/x.md", "nobody\n```rust\n/// nobody\n```\nwhoever\n"), [1, 5]);
        assert_eq!(lines("ARCHITECTURE.md", "nobody"), [1]);
        assert!(lines("README.md", "nobody").is_empty(), "it is for users");
    }

    #[test]
    fn replaced_words_are_found_in_the_library() {
        let text = "/// Parcels and a trapdoor.\nfn take_parcels(x: OpenDoor) {}\nuse a::Shelf; // shelf\nx.shift();\n\
                    let shift: Shift = \"parcel\";\n";
        assert_eq!(lines("lithops-core/src/a.rs", text), [1, 2, 2, 3, 5]);
        assert!(lines("xtask/src/a.rs", text).is_empty());
    }

    #[test]
    fn a_folder_may_have_as_many_as_are_allowed() {
        let tree = Tree::of([
            ("src/a.rs", "//! nobody"),
            ("tests/a.rs", "//! nobody\n//! whoever"),
            ("tests/b.rs", "//! whatever"),
        ]);
        let count = |allowed: &[(&str, usize)]| check_allowing(&tree, allowed).len();
        assert_eq!(count(&[]), 4);
        assert_eq!(count(&[("tests/", 3)]), 1);
        assert_eq!(count(&[("tests/", 2)]), 4, "all are told when there are too many");
        assert_eq!(count(&[("tests/", 3), ("src/", 1)]), 0);
    }
}
