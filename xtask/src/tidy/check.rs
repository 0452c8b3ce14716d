//! Runs all rules over the repository.

use super::{
    dependencies, documents,
    finding::{Finding, Weight},
    included, layout, manifests, names, publication, source,
    structure::{circles, layers, types},
    tree::Tree,
    words,
};
use crate::workspace;

/// Checks the repository and prints what breaks a rule.
pub(crate) fn run() -> Result<(), String> {
    let findings = findings()?;
    findings.iter().for_each(|finding| println!("{finding}"));
    let errors = findings.iter().filter(|finding| finding.weight == Weight::Error).count();
    if errors == 0 { Ok(()) } else { Err(format!("{errors} places break a rule, see above")) }
}

fn findings() -> Result<Vec<Finding>, String> {
    let tree =
        Tree::read(workspace::root()).map_err(|error| format!("cannot read the repository: {error}"))?;
    let metadata = workspace::metadata()?;
    let mut findings = dependencies::check(&metadata, workspace::root(), &tree);
    findings.extend(publication::check(&metadata, workspace::root()));
    let rules = [
        layout::check,
        layers::check,
        circles::check,
        names::check,
        documents::check,
        included::check,
        manifests::check,
        source::check,
        types::check,
        words::check,
    ];
    for rule in rules {
        findings.extend(rule(&tree));
    }
    findings.sort();
    findings.dedup();
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_is_tidy() {
        let findings = findings().expect("the repository is readable");
        let errors: Vec<_> =
            findings.iter().filter(|one| one.weight == Weight::Error).map(ToString::to_string).collect();
        assert!(errors.is_empty(), "\n{}", errors.join("\n"));
    }
}
