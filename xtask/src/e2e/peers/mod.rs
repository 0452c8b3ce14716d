//! Real servers for end-to-end runs: they are put under `target/`, listen on loopback, and end with the run.

mod parts;
mod server;

pub(super) use parts::{google_run_python, google_storage_python, ministack_python, moto_python, shellcheck};
pub(crate) use parts::{lithops_python, weed};
pub(crate) use server::{BUCKET, ID, SECRET, Server};
