//! What the AWS backends and storages of lithops share: the section `aws` of the configuration, the region, the
//! credentials, the HTTP client and what failures of a service mean.
//!
//! A backend or storage reads the [`region`], the [`endpoint`] and the [`Keys`] from its own section and from the
//! section [`SECTION`], and signs with a [`CredentialsSource`]. One that uses the AWS SDK has the rest from
//! [`sdk_config`]; one whose SDK would be too large speaks the Query API of a [`Service`] itself.

mod config;
mod credentials;
mod error;
mod http;
mod policy;
mod query;
mod sdk;

pub use config::{
    ACCESS_KEY_ID, Keys, REGION_NAME, SECRET_ACCESS_KEY, SECTION, SESSION_TOKEN, endpoint, region,
};
pub use credentials::CredentialsSource;
pub use error::{code, describe, failed, of_code};
pub use http::{client as http_client, raise_file_limit};
pub use policy::{allow, bucket_access, pass_role, policy};
pub use query::{Form, Service, ServiceError};
pub use sdk::{Access, region_of, sdk_config};
