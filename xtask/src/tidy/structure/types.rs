//! One name once: no two types of `lithops-core` that other files can name have the same name.

use std::collections::BTreeMap;

use super::imports::without_tests;
use crate::tidy::{finding::Finding, source::code, tree::Tree};

const SOURCES: &str = "lithops-core/src/";

/// Names that may stand for several types, and how many. Fewer are an error, so that the list only gets shorter.
const EXCEPTIONS: &[(&str, usize)] = &[("Error", 2), ("Workers", 2)];

/// Checks the types of the core.
pub(in crate::tidy) fn check(tree: &Tree) -> Vec<Finding> {
    check_except(tree, EXCEPTIONS)
}

fn check_except(tree: &Tree, exceptions: &[(&str, usize)]) -> Vec<Finding> {
    let mut places = BTreeMap::<String, Vec<(&str, usize)>>::new();
    for (path, text) in tree.texts(".rs").filter(|(path, _)| path.starts_with(SOURCES)) {
        let (code, _) = without_tests(&code(text));
        for (index, line) in code.lines().enumerate() {
            if let Some(name) = public_type(line) {
                places.entry(name.to_owned()).or_default().push((path, index + 1));
            }
        }
    }
    let mut findings = Vec::new();
    for (name, places) in &places {
        let most = exceptions.iter().find(|(one, _)| one == name).map_or(1, |(_, most)| *most);
        if places.len() > most {
            let all: Vec<_> = places.iter().map(|(path, line)| format!("{path}:{line}")).collect();
            let message = format!("`{name}` is the name of {} types: {}", places.len(), all.join(", "));
            findings.push(Finding::error(places[0].0, places[0].1, message));
        }
    }
    for (name, most) in exceptions {
        let count = places.get(*name).map_or(0, Vec::len);
        if count < *most && !places.is_empty() {
            let message = format!("`{name}` stands for {count} types: change the exception");
            findings.push(Finding::error("xtask/src/tidy/structure/types.rs", 1, message));
        }
    }
    findings
}

/// The name of a type that a line begins to define, if other files can name it.
fn public_type(line: &str) -> Option<&str> {
    let mut words = line.trim_start().strip_prefix("pub")?.split([' ', '<', '(', '{', ';', '=', ':']);
    let mut rest = words.by_ref().skip_while(|word| !KINDS.contains(word));
    rest.next()?;
    rest.next().filter(|name| name.starts_with(char::is_uppercase))
}

const KINDS: &[&str] = &["struct", "enum", "trait", "type", "union"];

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(second: &str, exceptions: &[(&str, usize)]) -> Vec<String> {
        let first = "pub struct State<T>(T);\npub(crate) enum Place {}\nfn f() -> State {}\n";
        let tree = Tree::of([("lithops-core/src/a.rs", first), ("lithops-core/src/b.rs", second)]);
        check_except(&tree, exceptions).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_same_name_twice_is_found_with_both_places() {
        for second in
            ["pub(super) struct State;", "pub type State = u8;", "    pub(in crate::x) trait State: Sized {"]
        {
            let found = messages(second, &[]);
            assert_eq!(found.len(), 1, "{second}: {found:?}");
            let words = "`State` is the name of 2 types: lithops-core/src/a.rs:1, lithops-core/src/b.rs:1";
            assert!(found[0].ends_with(words), "{found:?}");
            assert!(messages(second, &[("State", 2)]).is_empty());
        }
        assert!(messages("", &[("State", 2)])[0].contains("stands for 1 types"));
    }

    #[test]
    fn types_of_one_file_and_of_tests_are_not_counted() {
        for second in [
            "struct State;",
            "pub fn state() -> State {}",
            "#[cfg(test)]\nmod tests {\n    pub struct State;\n}",
            "// pub struct State;",
        ] {
            assert!(messages(second, &[]).is_empty(), "{second}");
        }
    }
}
