//! The section `redis`: its keys, and what they mean.

use lithops_core::{
    address::{check_endpoint, check_host},
    config::{Config, Key, Value},
    error::{Error, ErrorKind, Result},
    storage::{Credentials, Locator, check_bucket},
};

use crate::SCHEME;

/// The bucket when none is configured. A bucket of Redis is a prefix of names, and need not be created.
const DEFAULT_BUCKET: &str = "storage";
const DEFAULT_PORT: usize = 6379;

/// The keys of the section.
pub(crate) const KEYS: &[Key] = &[
    Key::used("storage_bucket", "what the names of jobs and cloud objects start with, `storage` otherwise"),
    Key::used("host", "the name or the address of the server"),
    Key::used("port", "its port, 6379 otherwise"),
    Key::used("db", "the number of its database, 0 otherwise"),
    Key::used("username", "the user"),
    Key::used("password", "the user's password"),
    Key::used("ssl", "whether to speak TLS, which this version cannot: `false`"),
    Key::accepted("ssl_cert_reqs", NO_TLS, "how far the certificate is checked"),
    Key::accepted("ssl_ca_certs", NO_TLS, "the certificates that are trusted"),
    Key::accepted("ssl_certfile", NO_TLS, "the client's certificate"),
    Key::accepted("ssl_keyfile", NO_TLS, "the client's key"),
    Key::accepted("ssl_check_hostname", NO_TLS, "whether the host's name is checked"),
    Key::accepted("socket_timeout", OWN_LIMITS, "how long a request may take"),
    Key::accepted("socket_connect_timeout", OWN_LIMITS, "how long to connect may take"),
    Key::accepted("socket_keepalive", OWN_LIMITS, "whether connections are kept alive"),
    Key::accepted("retry_on_timeout", OWN_LIMITS, "whether a request is tried again"),
    Key::accepted("health_check_interval", OWN_LIMITS, "how often connections are checked"),
    Key::accepted("max_connections", OWN_LIMITS, "how many connections there may be"),
    Key::accepted("client_name", "the name says nothing here", "the name of the client"),
    Key::accepted("encoding", "values are bytes", "the encoding of texts"),
    Key::accepted("decode_responses", "values are bytes", "whether values are texts"),
];

const NO_TLS: &str = "this version speaks no TLS to Redis";
const OWN_LIMITS: &str = "limits, retries and connections of storages are set by this version itself";

/// Reads the address of the server.
pub(crate) fn locate(config: &Config) -> Result<Locator> {
    let section = config.section(SCHEME);
    let wrong = |key: &str, message: String, hint: &str| {
        Error::new(ErrorKind::ConfigInvalid, message)
            .with_hint(hint)
            .with_context("key", format!("{SCHEME}.{key}"))
    };
    let host = section.string("host")?.ok_or_else(|| {
        let message = format!("`host` is missing in section `{SCHEME}`, it is where the server is");
        wrong("host", message, "write for example `host: 127.0.0.1`")
    })?;
    if section.bool("ssl")? == Some(true) {
        let hint = "let a tunnel speak it, and write `ssl: false`";
        return Err(section.unusable("ssl", "is true, and this version speaks no TLS to Redis", hint));
    }
    if check_host(host).is_err() {
        let message = format!("`host` in section `{SCHEME}` is no name of a host");
        return Err(wrong(
            "host",
            message,
            "write the name alone; port, user and password have keys of their own",
        ));
    }
    let port = section.positive("port")?.unwrap_or(DEFAULT_PORT);
    let port = u16::try_from(port).map_err(|_| {
        wrong("port", format!("`port` in section `{SCHEME}` is {port}"), "write a number up to 65535")
    })?;
    let db = match section.get("db").map(|located| &located.value) {
        None | Some(Value::Int(0)) => 0,
        Some(_) => section.positive("db")?.unwrap_or(0),
    };
    let bucket = section.string("storage_bucket")?.unwrap_or(DEFAULT_BUCKET);
    check_bucket(bucket)?;
    // An IPv6 address has colons, and stands in brackets before a port.
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    Locator::new(SCHEME, bucket).with_endpoint(format!("redis://{host}:{port}/{db}"))
}

/// Checks that an address leads to a server of Redis and nowhere else: a locator may come from another process.
pub(crate) fn check(address: &str) -> Result<()> {
    const REDIS: &str = "redis://";
    let parts = address.strip_prefix(REDIS).and_then(|rest| rest.split_once('/'));
    let (server, db) =
        parts.map_or((address, "0"), |(server, db)| (&address[..REDIS.len() + server.len()], db));
    check_endpoint(server, &["redis"])?;
    if db.is_empty() || db.bytes().any(|byte| !byte.is_ascii_digit()) {
        return Err(Error::new(
            ErrorKind::ConfigInvalid,
            "the address of a Redis has no number of a database",
        )
        .with_hint("write `host`, `port` and `db` in section `redis`"));
    }
    Ok(())
}

/// Reads user and password.
pub(crate) fn credentials(config: &Config) -> Result<Credentials> {
    let section = config.section(SCHEME);
    Ok(Credentials::default()
        .with("username", section.string("username")?)
        .with("password", section.string("password")?))
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
    fn a_section_becomes_a_locator_without_secrets() {
        let config = config("redis: {host: db.example.org, password: hunter2, db: 3}");
        let locator = locate(&config).expect("it is complete");
        assert_eq!(locator.endpoint.as_deref(), Some("redis://db.example.org:6379/3"));
        assert_eq!(credentials(&config).expect("they are text").expose("password"), Some("hunter2"));
    }

    #[test]
    fn an_address_is_a_host_a_port_and_a_database() {
        for right in ["redis://h:6379/0", "redis://[::1]:6379/15", "redis://127.0.0.1:1"] {
            check(right).expect(right);
        }
        for wrong in [
            "redis://u:hunter2@h:1/0",
            "redis://h:1/0?protocol=3",
            "redis://h:1/x",
            "redis://h:1/",
            "unix:///tmp/socket",
            "rediss://h:1/0",
            "redis:///0",
        ] {
            let error = check(wrong).expect_err(wrong).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |yaml: &str| locate(&config(yaml)).expect_err(yaml).to_string();
        assert!(refused("redis: {port: 1}").starts_with("`host` is missing in section `redis`"));
        assert!(refused("redis: {host: h, port: 70000}").contains("up to 65535"));
        let url = refused("redis: {host: 'redis://u:hunter2@h'}");
        assert!(url.contains("write the name alone") && !url.contains("hunter2"), "{url}");
    }
}
