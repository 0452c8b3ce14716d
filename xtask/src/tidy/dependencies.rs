//! Which crate may depend on which, and what the core must never know.

use std::path::Path;

use serde_json::Value;

use super::{finding::Finding, tree::Tree};

/// What a member of the workspace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Facade,
    Core,
    Macros,
    Worker,
    Backend,
    Storage,
    Conformance,
    Xtask,
    /// A crate that backends and storages share, such as those of `clouds/`; and servers for tests.
    Common,
}

impl Part {
    fn of(folder: &str) -> Self {
        match folder {
            "" => Self::Facade,
            "lithops-core" => Self::Core,
            "lithops-core/macros" => Self::Macros,
            "lithops-worker" => Self::Worker,
            "tests/conformance" => Self::Conformance,
            "xtask" => Self::Xtask,
            _ if folder.starts_with("backends/") => Self::Backend,
            _ if folder.starts_with("storages/") => Self::Storage,
            _ => Self::Common,
        }
    }

    fn may_use(self, other: Self) -> bool {
        match self {
            Self::Core | Self::Macros => false,
            // As a program of its own it opens the storage that it fetches programs from.
            Self::Worker => matches!(other, Self::Core | Self::Storage),
            Self::Common => matches!(other, Self::Core | Self::Common),
            // Its trials run calls: it is a program with functions, and plays its own workers.
            Self::Conformance => matches!(other, Self::Core | Self::Macros | Self::Worker),
            Self::Backend | Self::Storage => matches!(other, Self::Core | Self::Common),
            Self::Facade => {
                matches!(other, Self::Core | Self::Macros | Self::Worker | Self::Backend | Self::Storage)
            }
            Self::Xtask => true,
        }
    }

    /// Tests may also look from above.
    fn may_test_with(self, other: Self) -> bool {
        self.may_use(other)
            || matches!(other, Self::Facade | Self::Conformance | Self::Storage | Self::Common)
            || self == Self::Conformance && other == Self::Backend
    }
}

/// What the core knows nothing of.
const FOREIGN_TO_CORE: &[&str] = &["clap", "aws-", "kube", "k8s-", "google-", "lambda_"];

/// Checks the dependencies that `cargo metadata --no-deps` lists.
pub(super) fn check(metadata: &Value, root: &Path, tree: &Tree) -> Vec<Finding> {
    let packages: Vec<_> =
        list(&metadata["packages"]).filter_map(|package| Package::read(package, root)).collect();
    let mut findings = Vec::new();
    for package in &packages {
        for dependency in list(&package.json["dependencies"]) {
            let name = dependency["name"].as_str().unwrap_or_default();
            let line = tree.text(&package.manifest).map_or(1, |text| line_of(text, name));
            let mut error = |message: String| findings.push(Finding::error(&package.manifest, line, message));
            let is_test = dependency["kind"] == "dev";
            if let Some(other) = packages.iter().find(|other| other.name == name) {
                let allowed = if is_test {
                    package.part.may_test_with(other.part)
                } else {
                    package.part.may_use(other.part)
                };
                if !allowed {
                    error(format!(
                        "`{}` must not depend on `{name}`: dependencies point to the core",
                        package.name
                    ));
                }
                if package.part == Part::Facade
                    && other.part == Part::Backend
                    && dependency["optional"] != true
                {
                    error(format!("backend `{name}` must be optional, with a feature of its own"));
                }
            } else {
                let is_foreign = FOREIGN_TO_CORE.iter().any(|foreign| match foreign.ends_with(['-', '_']) {
                    true => name.starts_with(foreign),
                    false => name == *foreign,
                });
                if package.part == Part::Core && is_foreign {
                    error(format!(
                        "the core must not depend on `{name}`: it knows no cloud and no command line"
                    ));
                }
                if dependency["uses_default_features"] == true {
                    error(format!(
                        "`{name}` comes with default features: turn them off in [workspace.dependencies]"
                    ));
                }
            }
        }
    }
    findings
}

struct Package<'a> {
    name: &'a str,
    manifest: String,
    part: Part,
    json: &'a Value,
}

impl<'a> Package<'a> {
    fn read(json: &'a Value, root: &Path) -> Option<Self> {
        let manifest = Path::new(json["manifest_path"].as_str()?).strip_prefix(root).ok()?;
        let part = Part::of(manifest.parent()?.to_str()?);
        Some(Self { name: json["name"].as_str()?, manifest: manifest.to_str()?.to_owned(), part, json })
    }
}

fn list(json: &Value) -> impl Iterator<Item = &Value> {
    json.as_array().into_iter().flatten()
}

fn line_of(manifest: &str, dependency: &str) -> usize {
    let is_it = |line: &str| {
        line.strip_prefix(dependency).is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
            && line.contains('=')
    };
    manifest.lines().position(is_it).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn messages(packages: Value) -> Vec<String> {
        let tree = Tree::of([("backends/x/Cargo.toml", "[dependencies]\nlithops-worker.workspace = true\n")]);
        check(&json!({ "packages": packages }), Path::new("/r"), &tree)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn package(name: &str, folder: &str, dependencies: Value) -> Value {
        json!({ "name": name, "manifest_path": format!("/r/{folder}Cargo.toml"), "dependencies": dependencies })
    }

    fn dependency(name: &str) -> Value {
        json!({ "name": name, "kind": null, "optional": false, "uses_default_features": false })
    }

    #[test]
    fn a_backend_depends_on_the_core_alone() {
        let dependencies =
            json!([dependency("lithops-core"), dependency("lithops-worker"), dependency("lithops")]);
        let found = messages(json!([
            package("lithops-core", "lithops-core/", json!([])),
            package("lithops-worker", "lithops-worker/", json!([dependency("lithops-core")])),
            package("lithops", "", json!([])),
            package("lithops-backend-x", "backends/x/", dependencies),
        ]));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with(
                "backends/x/Cargo.toml:2: `lithops-backend-x` must not depend on `lithops-worker`"
            )
        );
    }

    #[test]
    fn a_backend_depends_on_no_other_not_even_in_tests() {
        let mut dev = dependency("lithops-backend-y");
        dev["kind"] = json!("dev");
        let mut above = dependency("lithops");
        above["kind"] = json!("dev");
        let found = messages(json!([
            package("lithops", "", json!([])),
            package("lithops-backend-y", "backends/y/", json!([])),
            package("lithops-backend-x", "backends/x/", json!([dev, above])),
        ]));
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn the_core_knows_no_cloud_and_nothing_of_this_workspace() {
        let dependencies =
            ["clap", "aws-config", "kube", "google-cloud-auth", "lithops-macros", "serde"].map(dependency);
        let found = messages(json!([
            package("lithops-macros", "lithops-core/macros/", json!([])),
            package("lithops-core", "lithops-core/", json!(dependencies)),
        ]));
        assert_eq!(found.len(), 5, "{found:?}");
    }

    #[test]
    fn backends_are_optional_and_default_features_are_off() {
        let mut serde = dependency("serde");
        serde["uses_default_features"] = json!(true);
        let found = messages(json!([
            package("lithops-backend-x", "backends/x/", json!([])),
            package("lithops", "", json!([dependency("lithops-backend-x"), serde])),
        ]));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("must be optional") && found[1].contains("default features"), "{found:?}");
    }
}
