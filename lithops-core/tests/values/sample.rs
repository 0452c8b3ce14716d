//! What is asked of a type, and how a value of it is tried.

use std::fmt::Debug;

use lithops_core::value;
use serde::{Serialize, de::DeserializeOwned};

use super::Random;

/// A type whose values are made at random.
pub(crate) trait Sample: Serialize + DeserializeOwned + PartialEq + Debug {
    /// Whether every value comes back. Of other types, those that come back from JSON must do so.
    const EXACT: bool = true;

    /// A value.
    fn sample(random: &mut Random) -> Self;
}

/// How many values were tried.
#[derive(Debug, Default)]
pub(crate) struct Tried {
    pub(crate) values: u64,
    /// Those that come back from JSON.
    pub(crate) json: u64,
}

impl Tried {
    pub(crate) fn add(&mut self, other: Self) {
        self.values += other.values;
        self.json += other.json;
    }
}

/// Encodes and decodes a value, here and as JSON.
pub(crate) fn try_one<T: Sample>(random: &mut Random) -> Result<Tried, String> {
    let sent = T::sample(random);
    let json = serde_json::to_string(&sent).ok().and_then(|text| serde_json::from_str::<T>(&text).ok());
    let json = json.is_some_and(|value| value == sent);
    if T::EXACT || json {
        let encoded = value::encode(&sent).map_err(|error| format!("{sent:?} does not encode: {error}"))?;
        let received = value::decode::<T>(&encoded);
        let received =
            received.map_err(|error| format!("{sent:?} does not decode from {encoded:02x?}: {error}"))?;
        if received != sent {
            return Err(format!("{sent:?} came back as {received:?} from {encoded:02x?}"));
        }
    }
    Ok(Tried { values: 1, json: json.into() })
}
