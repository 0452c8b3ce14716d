//! The modules of `lithops-core` have an order, and import downwards alone: what a module needs can be told from its
//! place, and no knot of modules comes about. The order is the block `layers` of `ARCHITECTURE.md`, lowest first.

use std::collections::BTreeSet;

use super::imports::Crate;
use crate::tidy::{finding::Finding, tree::Tree};

const SOURCES: &str = "lithops-core/src";
const ORDER: &str = "ARCHITECTURE.md";

/// Imports upwards that there still are: of the first module, from the second. Each is printed as a note; one that is
/// no longer there is an error, so that the list only gets shorter.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// Checks the imports between the modules of the core.
pub(in crate::tidy) fn check(tree: &Tree) -> Vec<Finding> {
    check_except(tree, EXCEPTIONS)
}

fn check_except(tree: &Tree, exceptions: &[(&str, &str)]) -> Vec<Finding> {
    let core = Crate::read(tree, SOURCES);
    let mut findings = Vec::new();
    let modules: BTreeSet<_> =
        core.files().filter_map(|(module, _)| Some(module.first()?.as_str())).collect();
    if modules.is_empty() {
        return findings;
    }
    let Some((heading, order)) = order(tree.text(ORDER).unwrap_or_default()) else {
        return vec![Finding::error(ORDER, 1, "write the order of the core's modules in a block ```layers")];
    };
    let place = |module: &str| order.iter().position(|one| *one == module);
    for module in &modules {
        if place(module).is_none() {
            let message = format!("the module `{module}` of `{SOURCES}` has no place in the order");
            findings.push(Finding::error(ORDER, heading, message));
        }
    }
    for (index, module) in order.iter().enumerate() {
        if !modules.contains(module) {
            let message = format!("`{SOURCES}` has no module `{module}`: take it out of the order");
            findings.push(Finding::error(ORDER, heading, message));
        }
        if order[..index].contains(module) {
            findings.push(Finding::error(ORDER, heading, format!("`{module}` is twice in the order")));
        }
    }
    let mut used = BTreeSet::new();
    for (module, file) in core.files() {
        let Some(from) = module.first().map(String::as_str) else { continue };
        for import in &file.imports {
            // A name that the root re-exports lies in the module that defines it.
            let defined = core.definition(&import.path).and_then(|path| path.into_iter().next());
            let named = import.path.first().filter(|name| modules.contains(name.as_str())).cloned();
            let Some(to) = named.or(defined) else { continue };
            let (Some(own), Some(other)) = (place(from), place(&to)) else { continue };
            if other <= own {
                continue;
            }
            let path = import.path.join("::");
            let (own, other) = (own + 1, other + 1);
            let message = format!(
                "`crate::{path}` is an import upwards: `{from}` is module {own} of the order in {ORDER}, and `{to}` is {other}"
            );
            let exception = exceptions.iter().find(|(below, above)| (*below, *above) == (from, to.as_str()));
            findings.push(match exception {
                Some(exception) => {
                    used.insert(exception);
                    Finding::note(&file.path, import.line, message)
                }
                None => Finding::error(&file.path, import.line, message),
            });
        }
    }
    for (from, to) in exceptions.iter().filter(|exception| !used.contains(exception)) {
        let message = format!("`{from}` imports nothing from `{to}` any more: take the exception out");
        findings.push(Finding::error("xtask/src/tidy/structure/layers.rs", 1, message));
    }
    findings
}

/// The names in the block `layers`, and the line where it begins.
fn order(text: &str) -> Option<(usize, Vec<&str>)> {
    let mut lines = text.lines().enumerate();
    let (heading, _) = lines.find(|(_, line)| *line == "```layers")?;
    let block = lines.map(|(_, line)| line).take_while(|line| *line != "```");
    Some((heading + 1, block.flat_map(str::split_whitespace).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARCHITECTURE: &str = "# x\n```layers\nlow\nmiddle high\n```\n";

    fn messages(architecture: &str, low: &str, exceptions: &[(&str, &str)]) -> Vec<String> {
        let tree = Tree::of([
            ("ARCHITECTURE.md", architecture),
            ("lithops-core/src/lib.rs", "pub mod low; pub mod middle; pub mod high; pub use high::top::Top;"),
            ("lithops-core/src/low.rs", low),
            ("lithops-core/src/middle.rs", "use crate::{low::Low, middle::Own};"),
            ("lithops-core/src/high/mod.rs", "use crate::middle;"),
            ("lithops-core/src/high/top.rs", "use super::super::low;"),
        ]);
        check_except(&tree, exceptions).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn imports_downwards_are_no_finding() {
        let low = "use std::high::X;\n#[cfg(test)]\nmod tests { use crate::high::Top; }\n";
        assert_eq!(messages(ARCHITECTURE, low, &[]), Vec::<String>::new());
    }

    #[test]
    fn an_import_upwards_names_both_places() {
        for low in [
            "\nuse crate::high::top::Top;",
            "\nfn f() { crate::high::g() }",
            "\nuse super::high;",
            "\nuse crate::Top;",
        ] {
            let found = messages(ARCHITECTURE, low, &[]);
            assert_eq!(found.len(), 1, "{low}: {found:?}");
            assert!(found[0].starts_with("lithops-core/src/low.rs:2: `crate::"), "{found:?}");
            let words = "`low` is module 1 of the order in ARCHITECTURE.md, and `high` is 3";
            assert!(found[0].ends_with(words), "{found:?}");
        }
    }

    #[test]
    fn an_exception_is_a_note_and_one_that_is_not_needed_an_error() {
        let found = messages(ARCHITECTURE, "use crate::high::Top;", &[("low", "high")]);
        assert!(found.len() == 1 && found[0].contains(":1: note: "), "{found:?}");
        let found = messages(ARCHITECTURE, "", &[("low", "high")]);
        assert!(found.len() == 1 && found[0].contains("take the exception out"), "{found:?}");
    }

    #[test]
    fn the_order_has_every_module_once() {
        for (architecture, words) in [
            ("", "write the order"),
            ("```layers\nlow high\n```\n", "`middle` of `lithops-core/src` has no place"),
            ("```layers\nlow middle high\nother\n```\n", "has no module `other`"),
            ("```layers\nlow middle high\nlow\n```\n", "`low` is twice"),
        ] {
            let found = messages(architecture, "", &[]);
            assert!(found.len() == 1 && found[0].contains(words), "{architecture}: {found:?}");
        }
    }
}
