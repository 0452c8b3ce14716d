//! A fake of Google Cloud Run on loopback: the Admin API, a registry for images, tokens, and for each service a front end
//! that starts instances for requests.
//!
//! Instances are the images that were pushed, unpacked and run as processes of this machine. They run without the root of
//! their image and with this machine's loader, so that no right of root is needed: a worker executes itself again by
//! `/proc/self/exe`, which would be the loader if that were named. `ASSUMPTIONS.md` of the backend says what only Google
//! can prove.

mod admin;
mod answer;
mod cloud_run;
mod images;
mod instance;
mod registry;
mod repositories;
mod router;
mod settings;
mod tokens;

pub use cloud_run::FakeCloudRun;
pub use images::Images;
pub use settings::{Counts, Settings};
