//! What a crate says that is published, and that it needs none that is not; and that the feature `full` is all features.

use std::path::Path;

use serde_json::Value;

use super::finding::Finding;

/// crates.io takes no more.
const MOST_KEYWORDS: usize = 5;

/// Features that are made of others.
const COLLECTIONS: [&str; 2] = ["default", "full"];

/// Checks the members of the workspace, as `cargo metadata --no-deps` lists them.
pub(super) fn check(metadata: &Value, root: &Path) -> Vec<Finding> {
    let packages: Vec<_> = list(&metadata["packages"]).collect();
    let unpublished: Vec<_> = packages
        .iter()
        .filter(|package| !is_published(package))
        .filter_map(|package| package["name"].as_str())
        .collect();
    let mut findings = Vec::new();
    for package in &packages {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
        let manifest = manifest.strip_prefix(root).unwrap_or(manifest).display().to_string();
        let mut problems = Vec::new();
        if is_published(package) {
            problems.extend(missing(package));
            let needed = list(&package["dependencies"]).filter(|one| one["kind"] != "dev");
            let names =
                needed.filter_map(|one| one["name"].as_str()).filter(|name| unpublished.contains(name));
            problems.extend(names.map(|name| format!("it is published, and needs `{name}`, which is not")));
        }
        if let Some(full) = package["features"]["full"].as_array() {
            let is_in = |feature: &str| full.iter().any(|one| one == feature);
            let absent = features(package).into_iter().filter(|feature| !is_in(feature));
            problems.extend(absent.map(|feature| format!("the feature `full` has no `{feature}`")));
        }
        findings.extend(problems.into_iter().map(|problem| Finding::error(&manifest, 1, problem)));
    }
    findings
}

/// The features of a package that are not made of others, sorted.
pub(crate) fn features(package: &Value) -> Vec<String> {
    let features = package["features"].as_object().into_iter().flatten().map(|(name, _)| name);
    let mut features: Vec<_> =
        features.filter(|name| !COLLECTIONS.contains(&name.as_str())).cloned().collect();
    features.sort();
    features
}

/// Whether a package may be published. What is not says `publish = false`.
pub(crate) fn is_published(package: &Value) -> bool {
    package["publish"].as_array().is_none_or(|registries| !registries.is_empty())
}

fn missing(package: &Value) -> Vec<String> {
    let has_text = |key: &str| package[key].as_str().is_some_and(|text| !text.is_empty());
    let texts = ["description", "license", "readme", "rust_version"];
    let mut missing: Vec<_> = texts
        .into_iter()
        .filter(|key| !has_text(key))
        .map(|key| format!("it is published: write `{}`", key.replace('_', "-")))
        .collect();
    if !(1..=MOST_KEYWORDS).contains(&list(&package["keywords"]).count()) {
        missing.push(format!("it is published: write `keywords`, {MOST_KEYWORDS} at most"));
    }
    if list(&package["categories"]).next().is_none() {
        missing.push("it is published: write `categories`".to_owned());
    }
    if package["metadata"]["docs"]["rs"]["all-features"] != true {
        missing.push("it is published: write `all-features = true` in [package.metadata.docs.rs]".to_owned());
    }
    missing
}

fn list(json: &Value) -> impl Iterator<Item = &Value> {
    json.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package() -> Value {
        json!({
            "name": "lithops", "manifest_path": "/r/Cargo.toml", "publish": null, "description": "x",
            "license": "Apache-2.0", "readme": "README.md", "rust_version": "1.94", "keywords": ["x"],
            "categories": ["concurrency"], "metadata": {"docs": {"rs": {"all-features": true}}}, "dependencies": [],
            "features": {"default": ["a"], "full": ["a", "b"], "a": [], "b": []},
        })
    }

    fn messages(packages: Value) -> Vec<String> {
        let metadata = json!({ "packages": packages });
        check(&metadata, Path::new("/r")).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_published_crate_says_what_it_is() {
        assert_eq!(messages(json!([package()])), Vec::<String>::new());
        for (key, value) in [
            ("description", json!(null)),
            ("license", json!("")),
            ("readme", json!(null)),
            ("rust_version", json!(null)),
            ("keywords", json!([])),
            ("keywords", json!(["a", "b", "c", "d", "e", "f"])),
            ("categories", json!([])),
            ("metadata", json!(null)),
        ] {
            let mut bad = package();
            bad[key] = value;
            let found = messages(json!([bad]));
            assert!(
                found.len() == 1 && found[0].starts_with("Cargo.toml:1: it is published: write"),
                "{found:?}"
            );
            bad["publish"] = json!([]);
            assert!(messages(json!([bad])).is_empty(), "it is not published");
        }
    }

    #[test]
    fn a_published_crate_needs_none_that_is_not() {
        let mut fixture = package();
        fixture["name"] = json!("fixture");
        fixture["publish"] = json!([]);
        let mut needs = package();
        needs["dependencies"] = json!([{ "name": "fixture", "kind": "dev" }]);
        assert!(messages(json!([needs.clone(), fixture.clone()])).is_empty());
        needs["dependencies"] = json!([{ "name": "fixture", "kind": null }]);
        assert!(messages(json!([needs, fixture]))[0].ends_with("needs `fixture`, which is not"));
    }

    #[test]
    fn full_is_all_features() {
        let mut bad = package();
        bad["features"]["c"] = json!([]);
        assert_eq!(messages(json!([bad])), ["Cargo.toml:1: the feature `full` has no `c`"]);
        assert_eq!(features(&package()), ["a", "b"]);
    }
}
