//! Real servers for end-to-end runs: they are put under `target/`, listen on loopback, and end with the run.

mod parts;
mod server;

pub(crate) use parts::weed;
pub(super) use parts::{google_run_python, google_storage_python, ministack_python, moto_python, shellcheck};
pub(crate) use server::Server;
pub(super) use server::{BUCKET, ID, SECRET};
