//! OCI images made of a program's own closure, without Docker: the program, its loader, its libraries and root
//! certificates, in one layer.
//!
//! ```text
//!  ImageBuilder ──build──> Image ──write──> oci:DIR, tar:FILE
//!       ^                    └────push────> Repository (OCI distribution API)
//!       └── BaseImage <──base── Repository
//! ```
//!
//! An [`ImageBuilder`] makes an [`Image`]; the same program makes the same digest. The image is written to an [`Output`],
//! or pushed to a [`Repository`], which is sent only what it does not have. [`Logins`] finds the credentials where
//! `docker login` and `podman login` put them, and asks a [`LoginSource`] of a backend for the tokens of a cloud.
//!
//! ```no_run
//! # async fn example() -> lithops_core::error::Result<()> {
//! use lithops_image::{ImageBuilder, Logins, Reference, Repository};
//!
//! let image = ImageBuilder::new("target/release/app").build().await?;
//! let to: Reference = "registry.example.com/team/app".parse()?;
//! let pushed = Repository::open(&to, &Logins::of_environment()).await?.push(&image, to.tag()).await?;
//! println!("{} in {} requests", pushed.reference, pushed.requests);
//! # Ok(())
//! # }
//! ```

mod closure;
mod image;
mod registry;

pub use image::{Image, ImageBuilder, Output};
pub use registry::{BaseImage, Login, LoginSource, Logins, Pushed, Reference, Repository};
