//! `cargo xtask tidy`: the rules of this workspace that no compiler knows. Each rule is a file, and each has a test
//! with an input that breaks it.

mod check;
mod dependencies;
mod documents;
mod finding;
mod included;
mod layout;
mod manifests;
mod names;
mod publication;
mod source;
mod structure;
mod tree;
mod words;

pub(crate) use check::run;
pub(crate) use publication::{features, is_published};
