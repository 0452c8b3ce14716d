//! [`Crate`]: which file of a crate imports what from which other, as its text has it.
//!
//! Read are `use` and paths that begin with `crate`, `super`, `self` or the name of a module that `use` brought in;
//! tests are left out. A name that a `mod.rs` re-exports leads to the file that defines it.

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy::{source::code, tree::Tree};

/// A path from the root of a crate, such as `["plan", "model", "Model"]`.
pub(super) type Path = Vec<String>;

/// The files of a crate by their modules.
#[derive(Debug, Default)]
pub(super) struct Crate {
    files: BTreeMap<Path, File>,
}

/// A file, which is a module.
#[derive(Debug, Default)]
pub(super) struct File {
    /// From the root of the repository.
    pub(super) path: String,
    /// What the file imports, tests left out.
    pub(super) imports: Vec<Import>,
    /// What other modules can import from this one that is defined elsewhere.
    exports: BTreeMap<String, Path>,
    /// The modules of which everything can be imported from this one.
    globs: Vec<Path>,
}

/// A path in a file that leads to something in the same crate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Import {
    pub(super) line: usize,
    pub(super) path: Path,
}

impl File {
    /// Whether the file is a `mod.rs` or `lib.rs`, which only re-export.
    pub(super) fn only_exports(&self) -> bool {
        self.path.ends_with("/mod.rs") || self.path.ends_with("/lib.rs")
    }
}

impl Crate {
    /// Reads the library of a crate, whose sources lie in this folder.
    pub(super) fn read(tree: &Tree, sources: &str) -> Self {
        let mut texts = BTreeMap::new();
        let mut tests = BTreeSet::new();
        for (path, text) in tree.texts(".rs") {
            let Some(own) = path.strip_prefix(sources).and_then(|rest| rest.strip_prefix('/')) else {
                continue;
            };
            if own == "main.rs" || own.starts_with("bin/") {
                continue;
            }
            let module = module(own);
            let (code, test_modules) = without_tests(&code(text));
            tests.extend(test_modules.into_iter().map(|name| [module.clone(), vec![name]].concat()));
            texts.insert(module, (path, code));
        }
        texts.retain(|module, _| !(1..=module.len()).any(|end| tests.contains(&module[..end])));
        let modules: BTreeSet<_> = texts.keys().cloned().collect();
        let files = texts
            .into_iter()
            .map(|(module, (path, code))| {
                let file = file(path, &module, &code, &modules);
                (module, file)
            })
            .collect();
        Self { files }
    }

    /// The files with their modules.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, &File)> {
        self.files.iter()
    }

    /// The module of the file that defines what a path names.
    pub(super) fn definition(&self, path: &[String]) -> Option<Path> {
        self.look_up(path, 0)
    }

    fn look_up(&self, path: &[String], depth: usize) -> Option<Path> {
        // Longer chains of re-exports than this are a circle.
        const DEEPEST: usize = 16;
        if depth > DEEPEST {
            return None;
        }
        let modules = (0..=path.len()).rev().find(|end| self.files.contains_key(&path[..*end]))?;
        let (module, rest) = path.split_at(modules);
        let Some(name) = rest.first() else { return Some(module.to_vec()) };
        let file = &self.files[module];
        if let Some(other) = file.exports.get(name) {
            return self.look_up(&[other, &rest[1..]].concat(), depth + 1);
        }
        let through = |glob: &Path| {
            let found = self.look_up(&[glob, rest].concat(), depth + 1)?;
            // A glob of a folder's `mod.rs` that does not have the name ends at that file.
            (!self.files[&found].only_exports()).then_some(found)
        };
        file.globs.iter().find_map(through).or_else(|| Some(module.to_vec()))
    }
}

/// `plan/mod.rs` and `plan.rs` are the module `plan`.
fn module(own: &str) -> Path {
    let own = own.trim_end_matches(".rs");
    let own = own.strip_suffix("/mod").unwrap_or(if own == "lib" { "" } else { own });
    own.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn file(path: &str, module: &Path, code: &str, modules: &BTreeSet<Path>) -> File {
    let tokens = tokens(code);
    let mut file = File { path: path.to_owned(), ..File::default() };
    let mut names = BTreeMap::new();
    let mut at = 0;
    let mut is_public = false;
    while at < tokens.len() {
        let token = tokens[at];
        if token.text == "use" {
            let mut used = Vec::new();
            let line = token.line;
            at = use_tree(&tokens, at + 1, &[], &mut used);
            for (path, name) in used {
                let Some(path) = absolute(&path, module, modules) else { continue };
                file.imports.push(Import { line, path: path.clone() });
                if name == "*" {
                    file.globs.push(path);
                } else {
                    if is_public {
                        file.exports.insert(name.clone(), path.clone());
                    }
                    names.insert(name, path);
                }
            }
        }
        is_public = match token.text {
            "pub" => true,
            // `pub(crate) use`
            "(" | ")" | "crate" | "super" | "in" => is_public,
            _ => false,
        };
        at += 1;
    }
    file.imports.extend(paths_in_code(&tokens, module, modules, &names));
    // What is imported from a module that is a file itself says more than the import of the module.
    file.imports.retain(|import| &import.path != module);
    file.imports.sort();
    file.imports.dedup();
    file
}

/// The paths outside of `use`.
fn paths_in_code(
    tokens: &[Token<'_>],
    module: &Path,
    modules: &BTreeSet<Path>,
    names: &BTreeMap<String, Path>,
) -> Vec<Import> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let token = tokens[at];
        if token.text == "use" {
            while at < tokens.len() && tokens[at].text != ";" {
                at += 1;
            }
            continue;
        }
        let begins = at == 0 || !matches!(tokens[at - 1].text, "::" | ".");
        let mut path = vec![token.text.to_owned()];
        while tokens.get(at + 1).is_some_and(|next| next.text == "::")
            && tokens.get(at + 2).is_some_and(|next| next.is_word())
        {
            path.push(tokens[at + 2].text.to_owned());
            at += 2;
        }
        if begins && path.len() > 1 && token.is_word() {
            let whole = match names.get(&path[0]) {
                Some(known) if modules.contains(known) => Some([known, &path[1..]].concat()),
                Some(_) => None,
                None => absolute(&path, module, modules),
            };
            found.extend(whole.map(|path| Import { line: token.line, path }));
        }
        at += 1;
    }
    found
}

/// A path from the root of the crate; nothing for one that leads to another crate.
fn absolute(path: &[String], module: &Path, modules: &BTreeSet<Path>) -> Option<Path> {
    let mut within = match path.first()?.as_str() {
        "crate" => Path::new(),
        "self" | "super" => module.clone(),
        // A module beside this file's own.
        first => {
            let inner = [module.clone(), vec![first.to_owned()]].concat();
            return modules.contains(&inner).then(|| [module.as_slice(), path].concat());
        }
    };
    let mut rest = path;
    while let Some(first) = rest.first().filter(|first| ["crate", "self", "super"].contains(&first.as_str()))
    {
        if first == "super" {
            within.pop()?;
        }
        rest = &rest[1..];
    }
    Some([within.as_slice(), rest].concat())
}

/// Reads `a::{b, c as d, e::*}` up to its end, and gives each path with the name it has here.
fn use_tree(tokens: &[Token<'_>], mut at: usize, before: &[String], used: &mut Vec<(Path, String)>) -> usize {
    let mut path = before.to_vec();
    while let Some(token) = tokens.get(at) {
        match token.text {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.text != "}") {
                    at = use_tree(tokens, at, &path, used);
                    at += usize::from(tokens.get(at).is_some_and(|token| token.text == ","));
                }
                return at + 1;
            }
            "*" => {
                used.push((path, "*".to_owned()));
                return at + 1;
            }
            "as" => {
                let name = tokens.get(at + 1).map_or("", |token| token.text);
                used.push((path, name.to_owned()));
                return at + 2;
            }
            "::" => at += 1,
            word if token.is_word() => {
                // `a::{self}` is `a`.
                if word != "self" || path.is_empty() {
                    path.push(word.to_owned());
                }
                at += 1;
            }
            _ => break,
        }
    }
    if let Some(name) = path.last().cloned() {
        used.push((path, name));
    }
    at
}

#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    line: usize,
}

impl Token<'_> {
    fn is_word(self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// Words, `::`, and every other character by itself.
fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (code, 1);
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            ':' if rest.starts_with("::") => 2,
            _ => first.len_utf8(),
        };
        let (text, after) = rest.split_at(length);
        if !first.is_whitespace() {
            tokens.push(Token { text, line });
        }
        line += usize::from(first == '\n');
        rest = after;
    }
    tokens
}

const TEST: &str = "#[cfg(test)]";

/// The code without the items that are for tests, and the names of modules among them; lines stay where they are.
pub(super) fn without_tests(code: &str) -> (String, Vec<String>) {
    let mut kept = String::with_capacity(code.len());
    let mut modules = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find(TEST) {
        let (before, item) = rest.split_at(at);
        kept.push_str(before);
        let (item, after) = item.split_at(item_length(item));
        kept.extend(item.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        let words: Vec<_> = item.split_whitespace().collect();
        let declared =
            words.windows(2).find(|pair| pair[0] == "mod").and_then(|pair| pair[1].strip_suffix(';'));
        modules.extend(declared.map(str::to_owned));
        rest = after;
    }
    kept.push_str(rest);
    (kept, modules)
}

/// The length of what begins with an attribute: an item, a field or an arm, with its end.
fn item_length(item: &str) -> usize {
    let (mut depth, mut last) = (0_usize, ' ');
    let is_use = item[TEST.len()..].trim_start().trim_start_matches("pub ").starts_with("use ");
    for (at, c) in item.char_indices().skip(TEST.len()) {
        match c {
            '(' | '[' | '{' => depth += 1,
            // An arrow closes nothing.
            '<' => depth += 1,
            '>' if last != '-' && last != '=' => depth = depth.saturating_sub(1),
            '}' if depth == 0 => return at,
            ')' | ']' | '}' => {
                depth = depth.saturating_sub(1);
                if c == '}' && depth == 0 && !is_use {
                    return at + 1;
                }
            }
            ';' | ',' if depth == 0 => return at + 1,
            _ => {}
        }
        last = c;
    }
    item.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crate_of<const N: usize>(files: [(&str, &str); N]) -> Crate {
        Crate::read(&Tree::of(files), "x/src")
    }

    fn imports(of: &Crate, path: &str) -> Vec<String> {
        let (_, file) = of.files().find(|(_, file)| file.path == path).expect("the file is there");
        file.imports.iter().map(|import| format!("{}: {}", import.line, import.path.join("::"))).collect()
    }

    #[test]
    fn all_forms_of_imports_are_read() {
        let text = "//! x\nuse std::fmt;\nuse crate::{\n    a::{self, B as C, d::*},\n    e,\n};\nuse super::f::g;\n\
                    fn h() { crate::i::j(); a::k(); x.a::<u8>(); C::new(); self::l(); std::m() }\n// crate::no\n";
        let read = crate_of([
            ("x/src/lib.rs", "mod a; mod b;"),
            ("x/src/a.rs", ""),
            ("x/src/b/mod.rs", "mod c;"),
            ("x/src/b/c.rs", text),
        ]);
        let found = imports(&read, "x/src/b/c.rs");
        let wanted = ["3: a", "3: a::B", "3: a::d", "3: e", "7: b::f::g", "8: a::k", "8: b::c::l", "8: i::j"];
        assert_eq!(found, wanted);
    }

    #[test]
    fn tests_are_left_out() {
        let text = "#[cfg(test)]\nuse crate::{a, b};\nuse crate::c;\n#[cfg(test)]\nmod tests;\nstruct S {\n    #[cfg(test)]\n    \
                    f: crate::d::D<u8, i8>,\n    g: crate::e::E,\n}\n#[cfg(test)]\nfn f<A, B>() -> u8 { crate::g::h() }\n\
                    #[cfg(test)]\nmod inner { use crate::i; }\nuse crate::j;\n";
        let read =
            crate_of([("x/src/lib.rs", ""), ("x/src/s/mod.rs", text), ("x/src/s/tests.rs", "use crate::k;")]);
        assert_eq!(imports(&read, "x/src/s/mod.rs"), ["3: c", "9: e::E", "15: j"]);
        assert!(read.files().all(|(_, file)| !file.path.ends_with("tests.rs")));
    }

    #[test]
    fn a_re_exported_name_leads_to_the_file_that_defines_it() {
        let read = crate_of([
            ("x/src/lib.rs", "pub use a::B;"),
            ("x/src/a/mod.rs", "mod b;\nmod c;\npub use b::B;\npub(crate) use c::*;\nuse d::E;\npub mod e;"),
            ("x/src/a/b.rs", "pub struct B;"),
            ("x/src/a/c.rs", ""),
            ("x/src/a/e.rs", ""),
        ]);
        let found = |path: &str| {
            let path: Path = path.split("::").map(str::to_owned).collect();
            read.definition(&path).map(|module| module.join("::"))
        };
        for (path, module) in [
            ("B::new", "a::b"),
            ("a::B", "a::b"),
            ("a::b::B", "a::b"),
            ("a::e", "a::e"),
            ("a::e::f", "a::e"),
            ("a::C", "a::c"),
            ("a", "a"),
            ("f", ""),
        ] {
            assert_eq!(found(path).as_deref(), Some(module), "{path}");
        }
    }
}
