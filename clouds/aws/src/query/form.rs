//! [`Form`]: the parameters of a request, as a form.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// All but the characters that RFC 3986 reserves for nothing.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The parameters of a request. Those of lists and of structures in them have names such as `Filter.1.Value.2`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// A form without parameters.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more parameter.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }

    /// The parameters of a structure: `{"Filter": [{"Name": "x"}]}` is `Filter.1.Name`. What is null is left out.
    #[must_use]
    pub fn of(structure: &Value) -> Self {
        let mut form = Self::new();
        form.flatten("", structure);
        form
    }

    fn flatten(&mut self, name: &str, value: &Value) {
        let within = |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") };
        match value {
            Value::Null => {}
            Value::Object(members) => {
                members.iter().for_each(|(member, value)| self.flatten(&within(member), value));
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.flatten(&within(&(index + 1).to_string()), item);
                }
            }
            Value::String(text) => self.set(name, text),
            other => self.set(name, other.to_string()),
        }
    }

    /// Adds a parameter.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// The parameters, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The body of the request.
    #[must_use]
    pub fn encode(&self) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
        let pairs: Vec<_> =
            self.0.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        pairs.join("&")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_in_forms_is_encoded() {
        let form = Form::new().with("Action", "X").with("Name", "a b&c=d").with("Other", "ü+~");
        assert_eq!(form.encode(), "Action=X&Name=a%20b%26c%3Dd&Other=%C3%BC%2B~");
    }

    #[test]
    fn lists_and_structures_are_flattened() {
        let structure = serde_json::json!({
            "DryRun": true,
            "Filter": [{"Name": "tag:x", "Value": ["a", "b"]}, {"Name": null}],
            "Spot": {"Count": 3}
        });
        assert_eq!(
            Form::of(&structure).encode(),
            "DryRun=true&Filter.1.Name=tag%3Ax&Filter.1.Value.1=a&Filter.1.Value.2=b&Spot.Count=3"
        );
    }
}
