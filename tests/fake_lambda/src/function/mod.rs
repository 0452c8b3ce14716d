//! Functions.

mod package;
mod record;
mod spec;
mod timestamp;

pub(crate) use package::{Package, UNPACKED_LIMIT, ZIPPED_LIMIT};
pub(crate) use record::Function;
pub(crate) use spec::Spec;
