//! Images: what is in them, how that becomes one layer, and how they are written to files.

mod builder;
mod documents;
mod known;
mod layer;
mod layout;
mod made;
mod system;
mod tree;

pub use builder::ImageBuilder;
pub(crate) use builder::architecture;
pub(crate) use documents::{Config, Descriptor, Index, Manifest, oci_digest, parse_digest, types};
pub use layout::Output;
pub use made::Image;
pub(crate) use made::{BaseLayer, Layer, LayerContent};
