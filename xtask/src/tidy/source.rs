//! What no Rust file may contain: unfinished code, tests that are not run, lints that are silenced without a reason.

use super::{finding::Finding, tree::Tree};

const UNFINISHED: &[&str] = &["todo!", "unimplemented!", "dbg!"];

/// Checks all Rust files.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts(".rs") {
        let code = code(text);
        let mut find = |word: &str, message: String| {
            for (at, _) in code.match_indices(word) {
                let is_word = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
                if is_word {
                    findings.push(Finding::error(path, line(&code, at), message.clone()));
                }
            }
        };
        for word in UNFINISHED {
            find(word, format!("`{word}` is unfinished code"));
        }
        find("#[ignore", "a test that is not run proves nothing: run it or remove it".to_owned());
        for (at, _) in code.match_indices("allow(") {
            let is_attribute = code[..at].ends_with("#[") || code[..at].ends_with("#![");
            let attribute = code[at..].split(']').next().unwrap_or_default();
            if is_attribute && !attribute.contains("reason") {
                let message = "write `#[expect(.., reason = \"..\")]`: a lint is silenced for a reason";
                findings.push(Finding::error(path, line(&code, at), message));
            }
        }
    }
    findings
}

fn line(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// The text with comments and the contents of literals turned into spaces; lines stay where they are.
pub(super) fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_after_word = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => comment_length(rest),
            '"' => string_length(rest),
            'r' if !is_after_word => raw_string_length(rest).unwrap_or(0),
            '\'' => character_length(rest).unwrap_or(0),
            _ => 0,
        };
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    code
}

fn comment_length(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn raw_string_length(text: &str) -> Option<usize> {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    let start = 1 + hashes;
    let body = text[start..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(body.find(&end).map_or(text.len(), |at| start + 1 + at + end.len()))
}

/// The length of a character literal; a lifetime is none.
fn character_length(text: &str) -> Option<usize> {
    let mut characters = text.char_indices().skip(1);
    let (_, first) = characters.next()?;
    if first == '\\' {
        characters.next();
        return characters.find(|(_, c)| *c == '\'').map(|(at, _)| at + 1);
    }
    characters.next().filter(|(_, c)| *c == '\'').map(|(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        check(&Tree::of([("src/a.rs", text)])).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn unfinished_code_is_found() {
        assert_eq!(lines("fn f() {\n    todo!()\n}\nfn g() { unimplemented!(\"x\"); dbg!(1); }"), [2, 4, 4]);
    }

    #[test]
    fn tests_that_are_not_run_are_found() {
        assert_eq!(lines("#[test]\n#[ignore]\nfn f() {}\n#[ignore = \"slow\"]"), [2, 4]);
    }

    #[test]
    fn lints_are_silenced_for_a_reason() {
        assert_eq!(lines("#[allow(dead_code)]\n#![allow(clippy::all)]"), [1, 2]);
        let expected = "#[expect(\n    dead_code,\n    reason = \"x\"\n)]\nfn allow(x: u8) {}";
        assert!(lines(expected).is_empty());
        assert!(lines("#[allow(dead_code, reason = \"x\")]").is_empty());
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        let text = "// todo!\n/* dbg! /* todo! */ dbg! */\nlet s = \"todo! \\\" dbg!\";\nlet r = r#\"todo! \" dbg!\"#;\n\
                    let c: &'static str = x('\"', '\\'', 'a');\ntodo!();\n";
        assert_eq!(lines(text), [6]);
    }
}
