//! The XML API of Google Cloud Storage, as far as `object_store` and Google's own clients use it, in front of
//! fake-gcs-server.
//!
//! fake-gcs-server has the JSON API, with preconditions that are honoured and atomic, and the reading half of the XML
//! API. What writes in XML is translated here: `PUT` becomes a JSON multipart upload with `ifGenerationMatch`, a list
//! becomes pages of the JSON list, a multipart upload becomes objects for its parts, which `compose` puts together. So
//! the store stays that of others, and the dialect is checked by Google's own client. With a [`Key`], requests must be
//! signed with it: fake-gcs-server checks nothing.

mod front;
mod key;
mod list;
mod parts;
mod server;
mod xml;

pub use front::GcsFront;
pub use key::Key;
