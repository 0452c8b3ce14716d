//! [`Spec`]: what the owner of a function has said about it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::api::ApiError;

/// Kept and given back as they came; nothing here follows from them.
const ECHOED: [&str; 5] =
    ["Description", "EphemeralStorage", "VpcConfig", "FileSystemConfigs", "Architectures"];
/// Variables that environments bring and functions cannot set.
const RESERVED: [&str; 14] = [
    "_HANDLER",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];
/// The most bytes of all variables.
const VARIABLES_LIMIT: usize = 4096;

/// What the owner of a function has said about it.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) role: String,
    pub(crate) handler: String,
    /// In seconds.
    pub(crate) timeout: u64,
    /// In MB.
    pub(crate) memory: u64,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(super) echoed: Map<String, Value>,
}

impl Spec {
    /// What a request says that creates a function.
    pub(crate) fn new(body: &Value) -> Result<Self, ApiError> {
        for key in ["Runtime", "Role", "Handler"] {
            if !body[key].is_string() {
                return Err(ApiError::invalid_parameter(format!("{key} is mandatory")));
            }
        }
        let mut echoed = Map::new();
        echoed.insert("Description".to_owned(), json!(""));
        echoed.insert("EphemeralStorage".to_owned(), json!({ "Size": 512 }));
        echoed.insert("Architectures".to_owned(), json!(["x86_64"]));
        let spec = Self {
            role: String::new(),
            handler: String::new(),
            timeout: 3,
            memory: 128,
            variables: BTreeMap::new(),
            tags: strings(&body["Tags"]),
            echoed,
        };
        spec.changed(body)
    }

    /// This, and what a request says that changes the configuration.
    pub(crate) fn changed(&self, body: &Value) -> Result<Self, ApiError> {
        let mut spec = self.clone();
        if let Some(runtime) = body["Runtime"].as_str().filter(|runtime| *runtime != "provided.al2023") {
            let message = format!("this fake runs provided.al2023, and not {runtime}");
            return Err(ApiError::invalid_parameter(message));
        }
        if let Some(role) = body["Role"].as_str() {
            if !is_role(role) {
                return Err(ApiError::invalid_parameter(format!("{role} is not the ARN of a role")));
            }
            role.clone_into(&mut spec.role);
        }
        if let Some(handler) = body["Handler"].as_str() {
            handler.clone_into(&mut spec.handler);
        }
        spec.timeout = within(body, "Timeout", 1..=900)?.unwrap_or(spec.timeout);
        spec.memory = within(body, "MemorySize", 128..=10_240)?.unwrap_or(spec.memory);
        if let Some(environment) = body["Environment"].as_object() {
            spec.variables = strings(environment.get("Variables").unwrap_or(&Value::Null));
            check_variables(&spec.variables)?;
        }
        for key in ECHOED {
            if !body[key].is_null() {
                spec.echoed.insert(key.to_owned(), body[key].clone());
            }
        }
        Ok(spec)
    }
}

fn is_role(role: &str) -> bool {
    let Some(rest) = role.strip_prefix("arn:aws:iam::") else { return false };
    let Some((account, name)) = rest.split_once(":role/") else { return false };
    account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty()
}

fn within(body: &Value, key: &str, range: std::ops::RangeInclusive<u64>) -> Result<Option<u64>, ApiError> {
    if body[key].is_null() {
        return Ok(None);
    }
    let value = body[key].as_u64().filter(|value| range.contains(value));
    let message = || format!("{key} is from {} to {}, and not {}", range.start(), range.end(), body[key]);
    value.map(Some).ok_or_else(|| ApiError::invalid_parameter(message()))
}

fn check_variables(variables: &BTreeMap<String, String>) -> Result<(), ApiError> {
    if let Some(name) = variables.keys().find(|name| RESERVED.contains(&name.as_str())) {
        let message = format!(
            "Lambda was unable to configure your environment variables because the environment variables you \
             have provided contains reserved keys that are currently not supported for modification. Reserved \
             keys used in this request: {name}"
        );
        return Err(ApiError::invalid_parameter(message));
    }
    let len: usize = variables.iter().map(|(name, value)| name.len() + value.len()).sum();
    if len > VARIABLES_LIMIT {
        let message = "Lambda was unable to configure your environment variables because the environment \
                       variables you have provided exceeded the 4KB limit.";
        return Err(ApiError::invalid_parameter(message));
    }
    Ok(())
}

fn strings(value: &Value) -> BTreeMap<String, String> {
    let Some(map) = value.as_object() else { return BTreeMap::new() };
    map.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_arns() {
        assert!(is_role("arn:aws:iam::123456789012:role/worker"));
        assert!(is_role("arn:aws:iam::123456789012:role/service-role/worker"));
        for wrong in ["worker", "arn:aws:iam::123:role/worker", "arn:aws:iam::123456789012:role/"] {
            assert!(!is_role(wrong), "{wrong}");
        }
    }

    #[test]
    fn variables_have_limits() {
        let variables = |name: &str, len| BTreeMap::from([(name.to_owned(), "x".repeat(len))]);
        assert!(check_variables(&variables("A", 4095)).is_ok());
        assert!(check_variables(&variables("A", 4096)).is_err());
        assert!(check_variables(&variables("AWS_REGION", 1)).is_err());
    }
}
