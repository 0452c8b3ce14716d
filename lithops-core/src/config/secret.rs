//! Recognises keys that hold credentials, so that neither `config show` nor a message shows their values.

use super::Value;

/// The text that is shown instead of a credential.
pub(super) const HIDDEN: &str = "***";

/// Parts of names of keys that hold credentials.
const WORDS: [&str; 6] = ["secret", "password", "passwd", "token", "credential", "private"];
/// Names of keys that hold credentials, and have none of these parts.
const NAMES: [&str; 11] = [
    "access_key",
    "access_key_id",
    "account_key",
    "api_key",
    "apikey",
    "iam_api_key",
    "storage_account_key",
    "amqp_url",
    "connection_string",
    "env_vars",
    "extra_env",
];
/// Endings of keys that hold the name of a file or a service, and not its content.
const PUBLIC_ENDINGS: [&str; 4] = ["_path", "_file", "_filename", "_endpoint"];

/// Whether a value of this key must not be shown.
pub(super) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('-', "_");
    if PUBLIC_ENDINGS.iter().any(|ending| key.ends_with(ending)) {
        return false;
    }
    NAMES.contains(&key.as_str()) || key.ends_with("_key") || WORDS.iter().any(|word| key.contains(word))
}

/// The value of `key` with every credential in it replaced.
pub(super) fn redact(key: &str, value: &Value) -> Value {
    match value {
        Value::Null => Value::Null,
        _ if is_secret(key) => Value::from(HIDDEN),
        Value::List(values) => Value::List(values.iter().map(|value| redact(key, value)).collect()),
        Value::Map(values) => {
            Value::Map(values.iter().map(|(key, value)| (key.clone(), redact(key, value))).collect())
        }
        Value::String(text) if has_password(text) => Value::from(HIDDEN),
        _ => value.clone(),
    }
}

/// Whether the text is a URL with credentials before its host.
fn has_password(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_hidden_and_names_are_shown() {
        for key in ["secret_access_key", "Access-Key-Id", "docker_password", "session_token", "env_vars"] {
            assert_eq!(redact(key, &"x".into()), Value::from(HIDDEN), "{key}");
        }
        for key in ["storage_bucket", "credentials_path", "ssh_key_filename", "worker_processes", "endpoint"]
        {
            assert_eq!(redact(key, &"x".into()), Value::from("x"), "{key}");
        }
        assert_eq!(redact("url", &"redis://u:p@host/0".into()), Value::from(HIDDEN));
        assert_eq!(redact("url", &"https://host/a@b".into()), Value::from("https://host/a@b"));
    }
}
