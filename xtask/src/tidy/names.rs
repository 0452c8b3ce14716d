//! One word everywhere: a backend's folder, package, feature and scheme bear the same name.

use super::{finding::Finding, tree::Tree};

/// Checks all folders of `backends/`.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let root = tree.text("Cargo.toml").unwrap_or_default();
    let mut findings = Vec::new();
    for word in tree.folders_in("backends") {
        let manifest = format!("backends/{word}/Cargo.toml");
        let package = format!("lithops-backend-{}", word.replace('_', "-"));
        let Some(text) = tree.text(&manifest) else {
            findings.push(Finding::error(&manifest, 1, format!("backend `{word}` has no manifest")));
            continue;
        };
        if !text.lines().any(|line| line == format!("name = \"{package}\"")) {
            findings.push(Finding::error(
                &manifest,
                1,
                format!("the package of `backends/{word}` is named `{package}`"),
            ));
        }
        let feature = |line: &str| {
            line.starts_with(&format!("{word} = [")) && line.contains(&format!("\"dep:{package}\""))
        };
        if !root.lines().any(feature) {
            findings.push(Finding::error(
                "Cargo.toml",
                1,
                format!("write the feature `{word} = [\"dep:{package}\"]`"),
            ));
        }
        let data = format!("backends/{word}/capabilities.yaml");
        let described = tree.text(&data).unwrap_or_default();
        for key in ["date: ", "sources:", &format!("platform: {word}")] {
            if !described.lines().any(|line| line.starts_with(key)) {
                let message =
                    format!("what a backend can do and costs is data with date and sources: write `{key}`");
                findings.push(Finding::error(&data, 1, message));
            }
        }
        let sources = format!("backends/{word}/src/");
        let schemes = [format!("scheme: \"{word}\""), format!("SCHEME: &str = \"{word}\"")];
        let is_named = tree.texts(".rs").any(|(path, text)| {
            path.starts_with(&sources) && schemes.iter().any(|scheme| text.contains(scheme))
        });
        if !is_named {
            let message =
                format!("no descriptor with the scheme `{word}`: write `SCHEME: &str = \"{word}\"`");
            findings.push(Finding::error(&format!("{sources}lib.rs"), 1, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "[features]\naws_lambda = [\"dep:lithops-backend-aws-lambda\"]\n";
    const MANIFEST: &str = "[package]\nname = \"lithops-backend-aws-lambda\"\n";
    const SOURCE: &str = "pub const SCHEME: &str = \"aws_lambda\";\n";

    const DATA: &str = "platform: aws_lambda\ndate: 2026-11-23\nsources: [x]\n";

    fn messages(root: &str, manifest: &str, source: &str) -> Vec<String> {
        let tree = Tree::of([
            ("Cargo.toml", root),
            ("backends/aws_lambda/Cargo.toml", manifest),
            ("backends/aws_lambda/src/lib.rs", source),
            ("backends/aws_lambda/capabilities.yaml", DATA),
        ]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_same_word_is_everywhere() {
        assert!(messages(ROOT, MANIFEST, SOURCE).is_empty());
        assert!(messages("", MANIFEST, SOURCE)[0].contains("write the feature `aws_lambda"));
        assert!(
            messages(ROOT, "name = \"lithops-lambda\"", SOURCE)[0]
                .contains("is named `lithops-backend-aws-lambda`")
        );
        assert!(messages(ROOT, MANIFEST, "scheme: \"lambda\"")[0].contains("no descriptor with the scheme"));
        let undated = Tree::of([
            ("Cargo.toml", ROOT),
            ("backends/aws_lambda/Cargo.toml", MANIFEST),
            ("backends/aws_lambda/src/lib.rs", SOURCE),
            ("backends/aws_lambda/capabilities.yaml", "platform: aws_lambda\nsources: [x]\n"),
        ]);
        assert!(check(&undated)[0].message.contains("write `date: `"));
        assert!(check(&Tree::of([("backends/x/src/lib.rs", "")]))[0].message.contains("has no manifest"));
    }
}
