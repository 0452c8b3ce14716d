//! `lithops doctor`: whether jobs would run on the cluster, and with `--live` whether a pod of it could serve them.

mod check;
mod live;

pub(crate) use check::check;
pub(crate) use live::check_live;
