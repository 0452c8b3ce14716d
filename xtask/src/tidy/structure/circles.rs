//! No circle of files: a file can be read, moved and tested without what stands above it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::imports::Crate;
use crate::tidy::{finding::Finding, tree::Tree};

/// The crates that are looked at.
const SOURCES: &[&str] = &["lithops-core/src", "lithops-worker/src"];

/// Imports that still close a circle: of the first file, from the second. One that closes none is an error, so that the
/// list only gets shorter.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// For each file, the files from which it imports, and the line of the first such import.
type Graph<'a> = BTreeMap<&'a str, BTreeMap<&'a str, usize>>;

/// Checks the imports between the files of each crate.
pub(in crate::tidy) fn check(tree: &Tree) -> Vec<Finding> {
    check_except(tree, EXCEPTIONS)
}

fn check_except(tree: &Tree, exceptions: &[(&str, &str)]) -> Vec<Finding> {
    let crates: Vec<_> = SOURCES.iter().map(|sources| Crate::read(tree, sources)).collect();
    let mut graph = Graph::new();
    for one in &crates {
        let paths: BTreeMap<_, _> = one.files().map(|(module, file)| (module, file.path.as_str())).collect();
        for (module, file) in one.files().filter(|(_, file)| !file.only_exports()) {
            for import in &file.imports {
                let Some(other) = one.definition(&import.path).filter(|other| other != module) else {
                    continue;
                };
                graph.entry(&file.path).or_default().entry(paths[&other]).or_insert(import.line);
            }
        }
    }
    let mut findings = Vec::new();
    for (from, to) in exceptions {
        let closes =
            graph.get(from).is_some_and(|others| others.contains_key(to)) && way(&graph, to, from).is_some();
        if !closes {
            let message = format!("`{from}` and `{to}` are in no circle any more: take the exception out");
            findings.push(Finding::error("xtask/src/tidy/structure/circles.rs", 1, message));
        }
    }
    for (from, to) in exceptions {
        if let Some(others) = graph.get_mut(from) {
            others.remove(to);
        }
    }
    // Each file is in one circle that is told: the shortest through it, unless that was told already.
    let mut told = BTreeSet::new();
    let files: Vec<_> = graph.keys().copied().collect();
    let circles = files.into_iter().filter_map(|file| {
        let next = graph[file].keys();
        next.filter_map(|next| way(&graph, next, file)).min_by_key(Vec::len)
    });
    let mut circles: Vec<_> = circles.collect();
    circles.sort_by_key(Vec::len);
    for circle in circles {
        if circle.iter().any(|file| told.contains(file)) {
            continue;
        }
        told.extend(circle.iter().copied());
        let last = circle.last().copied().unwrap_or_default();
        let line = |from: &str, to: &str| graph[from][to];
        let mut way = vec![format!("{last}:{}", line(last, circle[0]))];
        way.extend(circle.windows(2).map(|pair| format!("{}:{}", pair[0], line(pair[0], pair[1]))));
        let message = format!("a circle of imports: {} -> {last}", way.join(" -> "));
        findings.push(Finding::error(last, line(last, circle[0]), message));
    }
    findings
}

/// The shortest way along imports from one file to another, both included.
fn way<'a>(graph: &Graph<'a>, from: &'a str, to: &str) -> Option<Vec<&'a str>> {
    let mut before = BTreeMap::from([(from, from)]);
    let mut next = VecDeque::from([from]);
    while let Some(file) = next.pop_front() {
        if file == to {
            let mut way = vec![file];
            while let Some(&last) = way.last()
                && last != from
            {
                way.push(before[last]);
            }
            way.reverse();
            return Some(way);
        }
        for other in graph.get(file).into_iter().flat_map(BTreeMap::keys) {
            if !before.contains_key(other) {
                before.insert(other, file);
                next.push_back(other);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "lithops-core/src/x/a.rs";
    const B: &str = "lithops-core/src/x/b.rs";
    const C: &str = "lithops-core/src/y.rs";

    fn messages(texts: [&str; 3], exceptions: &[(&str, &str)]) -> Vec<String> {
        let tree = Tree::of([
            ("lithops-core/src/lib.rs", "pub mod x; pub mod y;"),
            ("lithops-core/src/x/mod.rs", "mod a; mod b; pub use a::A; pub use b::B;"),
            (A, texts[0]),
            (B, texts[1]),
            (C, texts[2]),
        ]);
        check_except(&tree, exceptions).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn imports_without_a_circle_are_no_finding() {
        let found = messages(
            [
                "use super::b::B;\nuse crate::y;",
                "use crate::y::Y;",
                "#[cfg(test)]\nmod tests { use crate::x::A; }",
            ],
            &[],
        );
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn a_circle_is_named_with_its_lines() {
        let found = messages(["use super::b::B;", "\nuse super::a;", ""], &[]);
        assert_eq!(found, [format!("{A}:1: a circle of imports: {A}:1 -> {B}:2 -> {A}")]);
        let found = messages(["use super::B;", "use crate::y::Y;", "fn f() { crate::x::A::new() }"], &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(&format!("{A}:1 -> {B}:1 -> {C}:1 -> {A}")), "{found:?}");
    }

    #[test]
    fn an_exception_must_close_a_circle() {
        let texts = ["use super::b::B;", "use super::a::A;", ""];
        assert!(messages(texts, &[(A, B)]).is_empty());
        let found = messages(["use super::b::B;", "", ""], &[(A, B)]);
        assert!(found.len() == 1 && found[0].contains("take the exception out"), "{found:?}");
    }
}
