//! What is promised in numbers: rights, requests to the API server, and what is left of a killed client.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::run::Trial;
use crate::e2e::place::Place;

pub(super) const TRIALS: &[(&str, Trial)] = &[
    ("rbac_of_the_docs_is_enough", rbac_of_the_docs_is_enough),
    ("ten_thousand_calls_make_few_requests", ten_thousand_calls_make_few_requests),
];

/// The most requests that change something, of the jobs of an executor on one wave of workers whose storage has credentials: a Job, its
/// Secret, that it begins, and its removal.
const WRITES: usize = 5;

/// Each right of the manifest is used, none is missed, and nothing else is asked for.
fn rbac_of_the_docs_is_enough(place: &Place<'_>) -> Result<(), String> {
    let seen = place.audit()?.len();
    place
        .run("examples/fleet", &["map", "100", "10"], "max_workers: 2")?
        .says("all 100 results are right")?;
    place
        .run("examples/fleet", &["map", "100", "10"], "max_workers: 2, dispatch: fed")?
        .says("all 100 results are right")?;
    let asked = place.audit()?.split_off(seen);
    let forbidden: Vec<_> = asked.iter().filter(|asked| asked["responseStatus"]["code"] == 403).collect();
    if !forbidden.is_empty() {
        return Err(format!("what the Role does not allow was tried: {forbidden:?}"));
    }
    let used: BTreeSet<String> = asked.iter().filter_map(right).collect();
    let role: Value = serde_json::from_str(&place.kubectl(&["get", "role", "lithops", "-o", "json"])?)
        .map_err(|error| error.to_string())?;
    let given: BTreeSet<String> = role["rules"].as_array().into_iter().flatten().flat_map(rights).collect();
    eprintln!("   used: {}", used.iter().cloned().collect::<Vec<_>>().join(", "));
    match used.difference(&given).next() {
        None => Ok(()),
        Some(right) => Err(format!("`{right}` was used, and the Role does not have it")),
    }
}

fn ten_thousand_calls_make_few_requests(place: &Place<'_>) -> Result<(), String> {
    let seen = place.audit()?.len();
    // Three jobs of ten thousand calls, and one that lasts until all workers run.
    let ran = place.run("examples/fleet", &["rate", "10000", "8"], "max_workers: 8, worker_processes: 1")?;
    ran.says("10000 calls on 8 machines")?;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for right in place.audit()?.split_off(seen).iter().filter_map(right) {
        *counts.entry(right).or_default() += 1;
    }
    let of = |verbs: &[&str]| -> usize {
        let of = counts.iter().filter(|(right, _)| verbs.iter().any(|verb| right.starts_with(verb)));
        of.map(|(_, count)| count).sum()
    };
    let (writes, watches) = (of(&["create", "patch", "update", "delete"]), of(&["watch"]));
    let counted: Vec<_> = counts.iter().map(|(right, count)| format!("{count} {right}")).collect();
    eprintln!("   {writes} writes and {watches} watches: {}", counted.join(", "));
    if writes > WRITES || watches > 3 {
        return Err(format!("{writes} writes and {watches} watches are too many: {counts:?}"));
    }
    Ok(())
}

/// What a request needs the right for, as `verb resource`; `None` for one that is not about objects.
fn right(asked: &Value) -> Option<String> {
    let (verb, object) = (asked["verb"].as_str()?, &asked["objectRef"]);
    let resource = object["resource"].as_str()?;
    Some(match object["subresource"].as_str() {
        Some(part) => format!("{verb} {resource}/{part}"),
        None => format!("{verb} {resource}"),
    })
}

fn rights(rule: &Value) -> Vec<String> {
    let texts = |key: &str| -> Vec<String> {
        rule[key]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|text| Some(text.as_str()?.to_owned()))
            .collect()
    };
    let resources = texts("resources");
    texts("verbs")
        .iter()
        .flat_map(|verb| resources.iter().map(move |name| format!("{verb} {name}")))
        .collect()
}
