//! The keys that sections of AWS have in common: the region, another address of the service, and an access key.

use std::fmt;

use lithops_core::{
    address::{check_endpoint, check_region},
    config::{Config, Key},
    error::{Error, ErrorKind, Result},
    storage,
};

/// The section that all backends and storages of AWS read after their own.
pub const SECTION: &str = "aws";

/// The variables that name a region, in the order of the AWS SDK.
const REGION_VARIABLES: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

/// The older name of `region`.
pub const REGION_NAME: Key = Key::used("region_name", "the older name of `region`");
/// The key of an access key's name.
pub const ACCESS_KEY_ID: Key = Key::used("access_key_id", "the name of the credentials");
/// The key of an access key's secret.
pub const SECRET_ACCESS_KEY: Key = Key::used("secret_access_key", "their secret");
/// The key of the token that comes with an access key that expires.
pub const SESSION_TOKEN: Key = Key::used("session_token", "the token of credentials that expire");

/// Another address of a service, as its section has it.
///
/// # Errors
/// The value is anything but a scheme, a host and a port.
pub fn endpoint<'a>(config: &'a Config, section: &'a str) -> Result<Option<&'a str>> {
    let endpoint = config.section(section).string("endpoint")?;
    if let Some(endpoint) = endpoint {
        check_endpoint(endpoint, &["https", "http"])
            .map_err(|error| unusable("endpoint", section, &format!("in section `{section}`"), &error))?;
    }
    Ok(endpoint)
}

/// The region: of the first of these sections that has one, else of the environment.
///
/// # Errors
/// The name has characters that would lead to another host. Where the service `has_endpoint` of its own, the region is
/// no part of a host name and may have more characters.
pub fn region(config: &Config, sections: &[&str], has_endpoint: bool) -> Result<Option<String>> {
    let own = sections.first().copied().unwrap_or(SECTION);
    let mut found = None;
    for section in sections {
        // The older name goes before the newer one, as in Python Lithops.
        for key in ["region_name", "region"] {
            if let (None, Some(region)) = (&found, config.section(section).string(key)?) {
                let place = config.section(section).get(key).map(|located| format!("at {}", located.origin));
                found = Some((region.to_owned(), place.unwrap_or_default()));
            }
        }
    }
    let variable = |name| std::env::var(name).ok().filter(|region| !region.is_empty());
    let of_environment = || REGION_VARIABLES.into_iter().find_map(variable);
    let found = found.or_else(|| Some((of_environment()?, "of the environment".to_owned())));
    let Some((region, place)) = found else { return Ok(None) };
    check_region(&region, has_endpoint).map_err(|error| unusable("region", own, &place, &error))?;
    Ok(Some(region))
}

/// An access key and its secret.
#[derive(Clone)]
pub struct Keys {
    /// The name of the access key, which is no secret.
    pub id: String,
    /// The secret that requests are signed with.
    pub secret: String,
    /// The token of an access key that expires.
    pub token: Option<String>,
}

impl Keys {
    /// The access key of the first of these sections that has one.
    ///
    /// # Errors
    /// A section has one half of an access key.
    pub fn read(config: &Config, sections: &[&str]) -> Result<Option<Self>> {
        for name in sections {
            let section = config.section(name);
            let missing = match (section.string("access_key_id")?, section.string("secret_access_key")?) {
                (Some(id), Some(secret)) => {
                    let token = section.string("session_token")?.map(str::to_owned);
                    return Ok(Some(Self { id: id.to_owned(), secret: secret.to_owned(), token }));
                }
                (None, None) => continue,
                (Some(_), None) => "secret_access_key",
                (None, Some(_)) => "access_key_id",
            };
            let message = format!("section `{name}` has one half of the credentials, `{missing}` is missing");
            return Err(Error::new(ErrorKind::ConfigInvalid, message)
                .with_hint("write both, or none to use those of the environment, the profile or the platform")
                .with_context("key", format!("{name}.{missing}")));
        }
        Ok(None)
    }

    /// The access key in the credentials of a storage.
    #[must_use]
    pub fn of_storage(credentials: &storage::Credentials) -> Option<Self> {
        Some(Self {
            id: credentials.expose("access_key_id")?.to_owned(),
            secret: credentials.expose("secret_access_key")?.to_owned(),
            token: credentials.expose("session_token").map(str::to_owned),
        })
    }

    /// The access key as the credentials of a storage.
    #[must_use]
    pub fn for_storage(&self) -> storage::Credentials {
        storage::Credentials::default()
            .with("access_key_id", Some(&self.id))
            .with("secret_access_key", Some(&self.secret))
            .with("session_token", self.token.as_deref())
    }
}

impl fmt::Debug for Keys {
    /// Leaves out the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("id", &self.id).finish_non_exhaustive()
    }
}

fn unusable(key: &str, section: &str, place: &str, error: &Error) -> Error {
    Error::new(ErrorKind::ConfigInvalid, format!("`{key}` {place} cannot be used: {}", error.message()))
        .with_hint(error.hint().unwrap_or_default())
        .with_context("key", format!("{section}.{key}"))
}

#[cfg(test)]
mod tests {
    use lithops_core::config::{Environment, Sources};

    use super::*;

    fn config(yaml: &str) -> Config {
        let sources = Sources { yaml: Some(yaml.to_owned()), file: None };
        Config::load(&sources, &Environment::new(".")).expect("it is YAML")
    }

    #[test]
    fn the_own_section_comes_before_the_shared_one() {
        let config = config(
            "aws: {region: eu-west-1, access_key_id: A, secret_access_key: a}\n\
             own: {region: us-east-1, access_key_id: B, secret_access_key: hunter2, session_token: hunter3}\n",
        );
        let region = |sections: &[&str]| region(&config, sections, false).expect("it is right");
        assert_eq!(region(&["own", SECTION]).as_deref(), Some("us-east-1"));
        assert_eq!(region(&["other", SECTION]).as_deref(), Some("eu-west-1"));
        let keys = |sections: &[&str]| Keys::read(&config, sections).expect("they are whole");
        assert_eq!(keys(&["other", SECTION]).expect("of `aws`").id, "A");
        assert!(keys(&["other"]).is_none());
        let own = keys(&["own", SECTION]).expect("of `own`");
        assert!(!format!("{own:?}").contains("hunter"), "{own:?}");
        let again = Keys::of_storage(&own.for_storage()).expect("it was whole");
        assert_eq!((again.id, again.secret, again.token), (own.id, own.secret, own.token));
    }

    #[test]
    fn one_half_of_an_access_key_is_named() {
        for (yaml, missing) in [
            ("aws: {access_key_id: A}", "section `aws` has one half of the credentials, `secret_access_key`"),
            ("aws: {secret_access_key: a}", "`access_key_id` is missing"),
            ("own: {access_key_id: A}\naws: {access_key_id: A, secret_access_key: a}", "section `own`"),
        ] {
            let error = Keys::read(&config(yaml), &["own", SECTION]).expect_err(yaml).to_string();
            assert!(error.contains(missing), "{error}");
        }
    }

    #[test]
    fn what_would_lead_to_another_host_is_refused_with_its_place() {
        for name in ["evil.test/x?", "evil.test#", "eu-west-1.evil.test", "u@evil", "EU"] {
            for yaml in [format!("own: {{region: '{name}'}}"), format!("aws: {{region: '{name}'}}")] {
                let error = region(&config(&yaml), &["own", SECTION], false).expect_err(name).to_string();
                assert!(error.starts_with("`region` at line ") && error.contains(name), "{error}");
            }
        }
        let named = config("own: {region: RegionOne}");
        assert!(region(&named, &["own"], true).is_ok(), "it is no part of a host name");
        let error = endpoint(&config("own: {endpoint: 'http://u:hunter2@h:1'}"), "own").expect_err("a user");
        let error = error.to_string();
        assert!(error.starts_with("`endpoint` in section `own` cannot be used"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
