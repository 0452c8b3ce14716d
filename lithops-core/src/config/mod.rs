//! The configuration: the YAML of Python Lithops, where it is found, its values, and the origin of each
//! value.
//!
//! [`Config::load`] finds and reads the text, [`Section`] returns typed values, and [`check_section`]
//! compares a section with the [`Key`]s that its reader knows.

mod check;
mod document;
pub mod duration;
mod environment;
pub mod keys;
mod layers;
mod origin;
mod secret;
mod section;
mod sources;
mod value;
pub(crate) mod yaml;

pub(crate) use check::nearest;
pub use check::{Finding, FindingSeverity, check_files, check_section, check_sections};
pub use environment::Environment;
pub use keys::{Key, KeyStatus};
pub use layers::{Config, ConfigEntry};
pub use origin::{ConfigSource, Located, Origin};
pub use section::{CountValue, Section};
pub use sources::Sources;
pub use value::Value;

#[cfg(test)]
mod tests;
