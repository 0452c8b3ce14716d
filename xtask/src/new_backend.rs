//! `cargo xtask new-backend`: a backend crate to begin with. The crate is the one of `tests/fixtures/` under another name,
//! so that it is tested.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    steps,
    workspace::{cargo, root},
};

/// The files of the crate, and their texts.
const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../tests/fixtures/lithops-backend-launcher/Cargo.toml")),
    ("capabilities.yaml", include_str!("../../tests/fixtures/lithops-backend-launcher/capabilities.yaml")),
    ("src/lib.rs", include_str!("../../tests/fixtures/lithops-backend-launcher/src/lib.rs")),
    ("src/config.rs", include_str!("../../tests/fixtures/lithops-backend-launcher/src/config.rs")),
    ("src/backend.rs", include_str!("../../tests/fixtures/lithops-backend-launcher/src/backend.rs")),
    (
        "tests/conformance.rs",
        include_str!("../../tests/fixtures/lithops-backend-launcher/tests/conformance.rs"),
    ),
];

/// Writes a backend crate of this name: a member of this workspace, or with `to` a crate of its own.
pub(crate) fn run(name: &str, to: Option<&Path>) -> Result<(), String> {
    let name = Name::new(name)?;
    let folder = to.map_or_else(|| root().join("backends").join(name.snake()), PathBuf::from);
    if folder.exists() {
        return Err(format!("`{}` is there already: remove it, or choose another name", folder.display()));
    }
    for (file, text) in FILES {
        let text = match (*file, to) {
            ("Cargo.toml", None) => name.member(),
            ("Cargo.toml", Some(_)) => name.stands_alone(text, root()),
            _ => name.applied(text),
        };
        write(&folder.join(file), &text)?;
    }
    let manifest = folder.join("Cargo.toml");
    if to.is_none() {
        for (path, edit) in places()? {
            write(&path, &edit(&name, &read(&path)?)?)?;
        }
        steps::run(cargo().args(["fmt", "-p", "lithops", "-p", "lithops-core"]))?;
    }
    eprintln!("wrote `{}`; try it:", folder.display());
    eprintln!("  cargo test --manifest-path {}", manifest.display());
    eprintln!("then make `src/backend.rs` start your workers; `docs/backends.md` goes through it");
    Ok(())
}

/// A place in this workspace that names each backend, and how another is added there.
type Place = (PathBuf, fn(&Name, &str) -> Result<String, String>);

fn places() -> Result<Vec<Place>, String> {
    let in_root = |file: &str| root().join(file);
    Ok(vec![
        (in_root("Cargo.toml"), Name::in_manifest),
        (in_root("src/lib.rs"), Name::in_facade),
        (in_root("tests/features.rs"), Name::in_features),
        (file_with(&root().join("lithops-core/src"), KNOWN)?, Name::in_known),
    ])
}

/// The lines above the names of all backends in the core. They are searched for, because files of the core move.
const KNOWN: &str = "/// Backends that are features of the crate `lithops`. The hints of errors name the feature to enable.\nconst FEATURES: &[&str] = &[";

fn file_with(folder: &Path, text: &str) -> Result<PathBuf, String> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| format!("`{}`: {error}", folder.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if fs::read_to_string(&path).is_ok_and(|content| content.contains(text)) {
                return Ok(path);
            }
        }
    }
    Err(format!("no file below `{}` has `{text}`", folder.display()))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("`{}`: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .map_err(|error| format!("cannot write `{}`: {error}", path.display()))
}

/// The name of a backend: one word in small letters, with underscores.
#[derive(Debug)]
struct Name(String);

impl Name {
    fn new(name: &str) -> Result<Self, String> {
        let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
        if begins && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
            return Ok(Self(name.to_owned()));
        }
        Err(format!(
            "`{name}` cannot be the name of a backend: write small letters, digits and `_`, such as `my_cloud`"
        ))
    }

    fn snake(&self) -> &str {
        &self.0
    }

    fn kebab(&self) -> String {
        self.0.replace('_', "-")
    }

    fn camel(&self) -> String {
        let word = |word: &str| word[..1].to_uppercase() + &word[1..];
        self.0.split('_').filter(|part| !part.is_empty()).map(word).collect()
    }

    /// A text of the launcher, for this backend.
    fn applied(&self, text: &str) -> String {
        let text = text.replace("lithops_backend_launcher", &format!("lithops_backend_{}", self.snake()));
        let text = text.replace("lithops-backend-launcher", &format!("lithops-backend-{}", self.kebab()));
        text.replace("launcher", self.snake()).replace("Launcher", &self.camel())
    }

    fn stands_alone(&self, manifest: &str, root: &Path) -> String {
        let root = root.display();
        let text = manifest.replace("../../../lithops-core", &format!("{root}/lithops-core"));
        self.applied(&text.replace("../../conformance", &format!("{root}/tests/conformance")))
    }

    /// The manifest of a member of this workspace.
    fn member(&self) -> String {
        let text = "[package]
name = \"lithops-backend-launcher\"
description = \"The launcher backend of lithops\"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
readme.workspace = true
keywords = [\"lithops\", \"backend\"]
categories = [\"concurrency\"]

[package.metadata.docs.rs]
all-features = true

[features]
# Exports the backend for programs that load it at run time.
plugin = []

[dependencies]
async-trait.workspace = true
lithops-core.workspace = true

[dev-dependencies]
lithops-conformance.workspace = true

[[test]]
name = \"conformance\"
harness = false

[lints]
workspace = true
";
        self.applied(text)
    }

    /// The workspace's manifest with the backend as a member, a dependency and a feature.
    fn in_manifest(&self, text: &str) -> Result<String, String> {
        let (snake, kebab) = (self.snake(), self.kebab());
        let before = |anchor: &str, line: String| (anchor.to_owned(), format!("{line}\n{anchor}"));
        let edits = [
            before("    \"backends/localhost\",", format!("    \"backends/{snake}\",")),
            before(
                "lithops-backend-localhost = { path",
                format!("lithops-backend-{kebab} = {{ path = \"backends/{snake}\", version = \"0.1.0\" }}"),
            ),
            ("\nfull = [".to_owned(), format!("\nfull = [\"{snake}\", ")),
            before("minio = [", format!("{snake} = [\"dep:lithops-backend-{kebab}\"]")),
            before(
                "lithops-backend-localhost = { workspace",
                format!("lithops-backend-{kebab} = {{ workspace = true, optional = true }}"),
            ),
        ];
        edited(text, &edits)
    }

    /// The facade, which names each backend.
    fn in_facade(&self, text: &str) -> Result<String, String> {
        let snake = self.snake();
        let anchor = "#[cfg(feature = \"localhost\")]\nuse lithops_backend_localhost as _;";
        let line = format!("#[cfg(feature = \"{snake}\")]\nuse lithops_backend_{snake} as _;");
        edited(text, &[(anchor.to_owned(), format!("{line}\n{anchor}"))])
    }

    /// The test of the facade's features.
    fn in_features(&self, text: &str) -> Result<String, String> {
        let snake = self.snake();
        let anchor = "(\"localhost\", cfg!(feature = \"localhost\"))";
        let line = format!("(\"{snake}\", cfg!(feature = \"{snake}\")), {anchor}");
        edited(text, &[(anchor.to_owned(), line)])
    }

    /// The names of all backends in the core: one that was planned is there now.
    fn in_known(&self, text: &str) -> Result<String, String> {
        let snake = self.snake();
        let text = edited(text, &[(KNOWN.to_owned(), format!("{KNOWN}\"{snake}\", "))])?;
        Ok(text.replace(&format!("    \"{snake}\",\n"), ""))
    }
}

/// Replaces each of these texts, which must be there once: a second place would be edited by mistake.
fn edited(text: &str, edits: &[(String, String)]) -> Result<String, String> {
    let mut text = text.to_owned();
    for (from, to) in edits {
        if text.matches(from).count() != 1 {
            return Err(format!("there is not one place that reads `{from}`: add the backend by hand"));
        }
        text = text.replace(from, to);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_in_every_form() {
        let name = Name::new("my_cloud").unwrap();
        assert_eq!((name.kebab().as_str(), name.camel().as_str()), ("my-cloud", "MyCloud"));
        assert_eq!(
            name.applied("LauncherBackend of launcher in lithops-backend-launcher"),
            "MyCloudBackend of my_cloud in lithops-backend-my-cloud"
        );
        for wrong in ["", "My_Cloud", "my-cloud", "1st", "a/b", "a b"] {
            assert!(Name::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_page_that_makes_a_backend_has_these_files_whole() {
        let page = include_str!("../../docs/backends.md");
        for (file, text) in FILES {
            assert!(page.contains(text.trim_end()), "`docs/backends.md` has another `{file}`");
        }
    }

    #[test]
    fn the_workspace_has_the_places_where_a_backend_is_added() {
        let name = Name::new("my_cloud").unwrap();
        let manifest = name.in_manifest(include_str!("../../Cargo.toml")).unwrap();
        for line in [
            "    \"backends/my_cloud\",\n",
            "lithops-backend-my-cloud = { path = \"backends/my_cloud\", version = \"0.1.0\" }\n",
            "my_cloud = [\"dep:lithops-backend-my-cloud\"]\n",
            "lithops-backend-my-cloud = { workspace = true, optional = true }\n",
        ] {
            assert!(manifest.contains(line), "{line}");
        }
        assert!(manifest.contains("\nfull = [\"my_cloud\", \""));
        let facade = name.in_facade(include_str!("../../src/lib.rs")).unwrap();
        assert!(facade.contains("#[cfg(feature = \"my_cloud\")]\nuse lithops_backend_my_cloud as _;"));
        let features = name.in_features(include_str!("../../tests/features.rs")).unwrap();
        assert!(features.contains("(\"my_cloud\", cfg!(feature = \"my_cloud\")), (\"localhost\""));
        assert_eq!(places().unwrap().len(), 4, "each place is there");
        let planned = format!(
            "{KNOWN}\"localhost\"];\nconst LATER: &[&str] = &[\n    \"k8s\",\n    \"my_cloud\",\n];\n"
        );
        let known = name.in_known(&planned).unwrap();
        assert_eq!(
            known,
            format!("{KNOWN}\"my_cloud\", \"localhost\"];\nconst LATER: &[&str] = &[\n    \"k8s\",\n];\n")
        );
    }
}
