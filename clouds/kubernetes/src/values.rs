//! How values of a section are read that several backends have.

use std::collections::BTreeMap;

use lithops_core::{
    config::{Section, Value},
    error::Result,
};

/// Whether a text may be the name of a namespace, or a label of a host name.
#[must_use]
pub fn is_label(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with('-') && !name.ends_with('-')
}

/// The name of an image.
///
/// # Errors
/// When it can be none.
pub fn image(section: Section<'_>, key: &str) -> Result<Option<String>> {
    let Some(name) = section.string(key)? else { return Ok(None) };
    if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        let problem = format!("is `{}`, which names no image", name.escape_debug());
        return Err(section.unusable(key, &problem, "write it as `registry.example.com/path/name:tag`"));
    }
    Ok(Some(name.to_owned()))
}

/// The key `env_vars`.
///
/// # Errors
/// When it sets variables of the worker itself.
pub fn env_vars(section: Section<'_>) -> Result<BTreeMap<String, String>> {
    let variables = section.texts("env_vars")?;
    if let Some(name) = variables.keys().find(|name| name.starts_with("LITHOPS_")) {
        let hint = "names that begin with `LITHOPS_` are the worker's own";
        return Err(section.unusable("env_vars", &format!("sets `{name}`"), hint));
    }
    Ok(variables)
}

/// A list of names, or one name.
///
/// # Errors
/// When it is something else.
pub fn names(section: Section<'_>, key: &'static str) -> Result<Vec<String>> {
    let Some(located) = section.get(key) else { return Ok(Vec::new()) };
    let read = match &located.value {
        Value::List(names) => names.iter().map(|name| name.as_str().map(str::to_owned)).collect(),
        Value::String(name) => Some(vec![name.clone()]),
        _ => None,
    };
    read.ok_or_else(|| section.unusable(key, "is no list of names", format!("write `{key}: [name]`")))
}

/// A list of mappings.
///
/// # Errors
/// When it is something else.
pub fn maps(section: Section<'_>, key: &'static str, example: &str) -> Result<Vec<serde_json::Value>> {
    let Some(located) = section.get(key) else { return Ok(Vec::new()) };
    let read = match &located.value {
        Value::List(list) if list.iter().all(|item| matches!(item, Value::Map(_))) => {
            list.iter().map(|item| serde_json::to_value(item).ok()).collect()
        }
        _ => None,
    };
    read.ok_or_else(|| section.unusable(key, "is no list of mappings", format!("write `{key}: {example}`")))
}
