//! A document that has a file of the repository whole has it as it is: the code of the guides is what is tested.
//!
//! The line before the block names the file: `<!-- included: tests/fixtures/x/src/lib.rs -->`.

use super::{finding::Finding, tree::Tree};

const BEGIN: &str = "<!-- included: ";
const END: &str = " -->";
const FENCE: &str = "```";

/// Checks all documents.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts(".md") {
        let lines: Vec<_> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let Some(file) = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)) else {
                continue;
            };
            let mut error = |message: String| findings.push(Finding::error(path, index + 1, message));
            let Some(whole) = tree.text(file) else {
                error(format!("there is no `{file}` to include"));
                continue;
            };
            let mut block = lines[index + 1..].iter();
            if !block.next().is_some_and(|line| line.starts_with(FENCE)) {
                error(format!("no block of code follows with `{file}`"));
                continue;
            }
            let block: Vec<_> = block.take_while(|line| **line != FENCE).copied().collect();
            let same = whole.lines().zip(&block).take_while(|(one, other)| one == *other).count();
            if same < block.len() || same < whole.trim_end().lines().count() {
                error(format!("the block has another `{file}` from line {} on: copy the file", same + 1));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(block: &str) -> Vec<String> {
        let page = format!("# x\n\n<!-- included: x/src/lib.rs -->\n{block}\nmore\n");
        let tree = Tree::of([("docs/x.md", page.as_str()), ("x/src/lib.rs", "//! x\n\nfn f() {}\n")]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_stands_in_a_page_as_it_is() {
        assert_eq!(messages("```rust\n//! x\n\nfn f() {}\n```"), Vec::<String>::new());
        for (block, words) in [
            ("```rust\n//! x\n\nfn g() {}\n```", "from line 3 on"),
            ("```rust\n//! x\n```", "from line 2 on"),
            ("```rust\n//! x\n\nfn f() {}\nfn g() {}\n```", "from line 4 on"),
            ("text", "no block of code follows"),
        ] {
            let found = messages(block);
            assert!(found.len() == 1 && found[0].contains(words), "{block}: {found:?}");
            assert!(found[0].starts_with("docs/x.md:3: "), "{found:?}");
        }
        let missing = Tree::of([("docs/x.md", "<!-- included: x/no.rs -->\n```\n```\n")]);
        assert_eq!(check(&missing)[0].message, "there is no `x/no.rs` to include");
    }
}
