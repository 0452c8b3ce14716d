//! Versions stand in one place: `[workspace.dependencies]`.

use super::{finding::Finding, tree::Tree};

/// Checks all manifests.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    // A crate as strangers write it is a workspace of its own.
    let is_own = |text: &str| text.lines().any(|line| line == "[workspace]") && text.contains("[package]");
    let foreign = |path: &str, text: &str| path != "Cargo.toml" && is_own(text);
    for (path, text) in tree.texts("Cargo.toml").filter(|(path, text)| !foreign(path, text)) {
        let mut section = "";
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.starts_with('[') && line.ends_with(']') && !line.contains('=') {
                section = line.trim_matches(['[', ']']);
                continue;
            }
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) =
                line.split_once('=').map_or((line, ""), |(key, value)| (key.trim(), value.trim()));
            let is_own = match section {
                "workspace.dependencies" => false,
                "package" => key == "version",
                // `[dependencies]`, `[target.'cfg(..)'.dev-dependencies]`: a dependency on each line.
                _ if section.ends_with("dependencies") => {
                    !key.ends_with(".workspace") && !value.contains("workspace = true")
                }
                // `[dependencies.x]`: a dependency of its own.
                _ if section.contains("dependencies.") => key == "version",
                _ => false,
            };
            if is_own {
                let message = format!(
                    "`{key}` has a version of its own: take it from the workspace, `workspace = true`"
                );
                findings.push(Finding::error(path, index + 1, message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_stand_in_the_workspace() {
        let good = "[workspace.dependencies]\na = \"1\"\n[package]\nversion.workspace = true\n[dependencies]\na.workspace = true\n\
                    b = { workspace = true, features = [\"x\"] }\n";
        assert!(check(&Tree::of([("Cargo.toml", good)])).is_empty());
        let own = "[package]\nversion = \"0.1.0\"\n[workspace]\n";
        assert!(check(&Tree::of([("x/Cargo.toml", own)])).is_empty(), "a workspace of its own");
        for bad in [
            "[package]\nversion = \"0.1.0\"",
            "[dependencies]\na = \"1\"",
            "[dev-dependencies]\na = { version = \"1\" }",
            "[target.'cfg(unix)'.dependencies]\na = \"1\"",
            "[dependencies.a]\nversion = \"1\"",
        ] {
            let found = check(&Tree::of([("x/Cargo.toml", bad)]));
            assert!(found.len() == 1 && found[0].line == 2, "{bad}: {found:?}");
        }
    }
}
