//! The documents name only what exists: files, types, commands, examples.

use std::collections::BTreeSet;

use super::{finding::Finding, tree::Tree};

const DOCUMENTS: &[&str] = &["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];
/// The guides. Pages of results tell of programs as they were.
const GUIDES: &str = "docs/";

/// Checks the documents.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let words: BTreeSet<_> =
        tree.texts(".rs").flat_map(|(_, text)| text.split(|c: char| !is_word(c))).collect();
    let mut findings = Vec::new();
    for path in DOCUMENTS.iter().filter(|path| tree.text(path).is_none()) {
        findings.push(Finding::error(path, 1, "it is missing"));
    }
    let is_guide = |path: &str| path.strip_prefix(GUIDES).is_some_and(|name| !name.contains('/'));
    for (path, text) in tree.texts(".md").filter(|(path, _)| DOCUMENTS.contains(path) || is_guide(path)) {
        for (line, piece) in pieces(text) {
            let problem = match piece {
                Piece::Inline(code) => missing_path(code, tree)
                    .or_else(|| missing_name(code, &words))
                    .or_else(|| missing_command(code, tree)),
                Piece::Shell(code) => missing_command(code, tree),
                Piece::Link(target) => {
                    let target = target.trim_start_matches("../");
                    (!tree.names(target)).then(|| format!("there is no `{target}` to link to"))
                }
            };
            findings.extend(problem.map(|problem| Finding::error(path, line, problem)));
        }
    }
    findings
}

/// What a document says of the repository.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    /// Code within a sentence.
    Inline(&'a str),
    /// A line of a block of commands.
    Shell(&'a str),
    /// The target of a link into the repository.
    Link(&'a str),
}

fn pieces(text: &str) -> Vec<(usize, Piece<'_>)> {
    let mut pieces = Vec::new();
    let mut block = None;
    for (index, line) in text.lines().enumerate() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            block = if block.is_some() { None } else { Some(language.trim()) };
        } else if let Some(language) = block {
            if matches!(language, "" | "sh" | "text" | "console") {
                pieces.push((index + 1, Piece::Shell(line)));
            }
        } else {
            pieces.extend(line.split('`').skip(1).step_by(2).map(|code| (index + 1, Piece::Inline(code))));
            let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
            let own = targets.filter(|target| !target.is_empty() && !target.contains("://"));
            pieces.extend(own.map(|target| (index + 1, Piece::Link(target))));
        }
    }
    pieces
}

/// Says so when the code is a path of this repository that does not exist.
fn missing_path(code: &str, tree: &Tree) -> Option<String> {
    let is_placeholder =
        code.contains(['<', '>', '*', '{', '$', '(', '"', ':', ',', '=', ' ']) || code.contains("NAME");
    let is_elsewhere = ["~", "/", "./", "../", "http", "target/"].iter().any(|start| code.starts_with(start));
    let is_path = code.contains('/') || [".rs", ".md", ".toml"].iter().any(|ending| code.ends_with(ending));
    (is_path && !is_placeholder && !is_elsewhere && !tree.names(code))
        .then(|| format!("there is no `{code}`"))
}

/// Says so when the code is a name of a type, a path of Rust, a function or a variable, and no source has it.
fn missing_name(code: &str, words: &BTreeSet<&str>) -> Option<String> {
    // `Shared<T>`, `FunctionExecutor::builder()`, `#[lithops::function(name = "x")]`: the name stands first.
    let name =
        code.trim_start_matches(['#', '!', '[', '.']).split(['<', '(', '[', ' ', ']', ';', '!']).next()?;
    let is_type =
        name.starts_with(|c: char| c.is_ascii_uppercase()) && (name.len() > 1) && name.chars().all(is_word);
    let is_call = name.chars().all(is_word) && code[name.len()..].starts_with("()");
    let is_rust_path = name.contains("::") && name.chars().all(|c| is_word(c) || c == ':');
    if !(is_type || is_call || is_rust_path) {
        return None;
    }
    let missing = name.split("::").find(|word| !word.is_empty() && !words.contains(word))?;
    Some(format!("no source has a `{missing}`"))
}

/// Says so when a command names a subcommand, chore, example, test or package that does not exist.
fn missing_command(code: &str, tree: &Tree) -> Option<String> {
    let words: Vec<_> = code.trim_start_matches(['$', ' ']).split_whitespace().collect();
    let exists = |path: String| tree.text(&path).is_some();
    for pair in words.windows(2) {
        let (option, name) = (pair[0], pair[1]);
        let is_there = match option {
            "--example" => exists(format!("examples/{name}.rs")),
            "--test" => tree.names(&format!("tests/{name}.rs")),
            "-p" | "--package" => tree
                .texts("Cargo.toml")
                .any(|(_, manifest)| manifest.lines().any(|line| line == format!("name = \"{name}\""))),
            "xtask" => !is_command(name) || has_variant(tree, "xtask/src/main.rs", name),
            _ => true,
        };
        if !is_there && !name.contains(['<', '*']) && name != "NAME" {
            return Some(format!("`{option} {name}` names nothing that exists"));
        }
    }
    let (&"lithops", &command) = (words.first()?, words.get(1)?) else { return None };
    if !is_command(command) {
        return None;
    }
    if !has_variant(tree, "src/bin/lithops/main.rs", command) {
        return Some(format!("there is no command `lithops {command}`"));
    }
    let file = format!("src/bin/lithops/{command}.rs");
    if !tree.text(&file).is_some_and(|text| text.contains("Subcommand)]")) {
        return None;
    }
    let missing =
        words.get(2)?.split('|').find(|inner| is_command(inner) && !has_variant(tree, &file, inner))?;
    Some(format!("there is no command `lithops {command} {missing}`"))
}

fn is_command(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Whether an enum of commands in that file has a variant for the command.
fn has_variant(tree: &Tree, path: &str, command: &str) -> bool {
    let variant: String = command
        .split('-')
        .flat_map(|word| word.chars().take(1).map(|c| c.to_ascii_uppercase()).chain(word.chars().skip(1)))
        .collect();
    let is_it = |line: &str| {
        line.trim_start().strip_prefix(&variant).is_some_and(|rest| rest.starts_with(['(', ' ', ',']))
    };
    tree.text(path).is_some_and(|text| text.lines().any(is_it))
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(document: &str) -> Vec<String> {
        let tree = Tree::of([
            ("README.md", document),
            ("ARCHITECTURE.md", ""),
            ("CONTRIBUTING.md", ""),
            ("Cargo.toml", "[package]\nname = \"lithops\"\n"),
            (
                "lithops-core/src/plan/planner.rs",
                "pub struct Plan; fn for_calls() {} const X: &str = \"LITHOPS_ROLE\";",
            ),
            ("src/bin/lithops/main.rs", "enum Command {\n    Hello(Hello),\n    Config(Config),\n}"),
            (
                "src/bin/lithops/config.rs",
                "#[derive(Debug, Subcommand)]\nenum Config {\n    Show(Options),\n}",
            ),
            ("xtask/src/main.rs", "enum Command {\n    E2e,\n}"),
            ("examples/granularity.rs", ""),
            ("tests/cli.rs", ""),
        ]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_exists_is_no_finding() {
        let good = "`src/bin/lithops/`, `lithops-core/src/plan/`, `planner.rs`, `Plan`, `Plan::for_calls(..)`, `LITHOPS_ROLE`, \
                    `~/.lithops/config`, `/etc/x`, `backends/NAME`, `claims/<chunk>`, `for_calls()`, [x](README.md), \
                    [y](https://a.b/c), `lithops hello -m 2`, `cargo xtask e2e`, `cargo run --example granularity`\n\
                    ```sh\nlithops config show   every value\ncargo test --test cli -p lithops\n```\n\
                    ```rust\nlet missing: Missing = lithops missing;\n```\n";
        assert_eq!(messages(good), Vec::<String>::new());
    }

    #[test]
    fn what_does_not_exist_is_found() {
        for (bad, words) in [
            ("`lithops-cor/src/`", "there is no `lithops-cor/src/`"),
            ("`plan/plane.rs`", "there is no `plan/plane.rs`"),
            ("`planner/`", "there is no `planner/`"),
            ("`missing.toml`", "there is no `missing.toml`"),
            ("[x](docs/missing.md)", "to link to"),
            ("`Planner`", "no source has a `Planner`"),
            ("`Plan::explain`", "no source has a `explain`"),
            ("`explain()`", "no source has a `explain`"),
            ("`LITHOPS_ROLL`", "no source has a `LITHOPS_ROLL`"),
            ("`lithops helo`", "there is no command `lithops helo`"),
            ("`lithops config show|chek`", "there is no command `lithops config chek`"),
            ("`cargo xtask simulate`", "`xtask simulate` names nothing"),
            ("```\ncargo run --release --example wordcont\n```", "`--example wordcont` names nothing"),
            ("```sh\ncargo test --test wordcont\n```", "`--test wordcont` names nothing"),
            ("`cargo test -p lithops-missing`", "`-p lithops-missing` names nothing"),
        ] {
            let found = messages(bad);
            assert!(found.len() == 1 && found[0].contains(words), "{bad}: {found:?}");
        }
        assert_eq!(check(&Tree::of([])).len(), 3, "a document that is missing is found");
    }
}
