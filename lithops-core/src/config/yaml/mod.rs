//! YAML as the configuration and the data of platforms need it: one document, with the place of each node.

mod deserialize;
mod error;
mod place;
mod scalar;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use error::{Problem, YamlError};
pub(crate) use place::Place;
pub(crate) use tree::{MapKey, Node, Tree, read};
