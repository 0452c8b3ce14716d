//! `cargo xtask e2e gcp_cloudrun`: Cloud Run, played by `tests/fake_cloudrun`, with Cloud Storage, played by
//! fake-gcs-server.

mod programs;
mod run;
mod two_clouds;

pub(super) use run::run;
