//! Checks of texts that become part of a host name or a URL. An unexpected character could send
//! requests, and their signatures, to another host.

use std::net::Ipv6Addr;

use crate::error::{Error, ErrorKind, Result};

/// The longest host name in characters, as DNS permits it.
const LONGEST_NAME: usize = 253;
/// The longest label of a host name, between two dots, as DNS permits it.
const LONGEST_PART: usize = 63;

/// Checks the name of a region. It becomes part of a host name, unless the service has an endpoint
/// of its own.
///
/// # Errors
/// `ConfigInvalid` when it is empty, longer than 63 characters, starts or ends with `-`, or has other
/// characters than lower-case letters, digits and `-`. With an endpoint, upper-case letters and `_`
/// are permitted too.
pub fn check_region(region: &str, has_endpoint: bool) -> Result<()> {
    let is_strict = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_right = if has_endpoint { region.bytes().all(is_name) } else { region.bytes().all(is_strict) };
    let is_part =
        (1..=LONGEST_PART).contains(&region.len()) && !region.starts_with('-') && !region.ends_with('-');
    if is_right && is_part {
        return Ok(());
    }
    let message = format!("the region `{}` is no name of a region", region.escape_debug());
    Err(Error::new(ErrorKind::ConfigInvalid, message)
        .with_hint("write it as the provider does, with lower-case letters, digits and `-`: `eu-west-1`"))
}

/// Checks a host name or an IP address.
///
/// # Errors
/// `ConfigInvalid` when it is neither.
pub fn check_host(host: &str) -> Result<()> {
    let is_part = |part: &str| {
        let is_end = |end: Option<u8>| end.is_some_and(|byte| byte != b'-');
        part.len() <= LONGEST_PART
            && is_end(part.bytes().next())
            && is_end(part.bytes().last())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let is_name = host.len() <= LONGEST_NAME && host.split('.').all(is_part);
    if is_name || host.parse::<Ipv6Addr>().is_ok() {
        return Ok(());
    }
    let message = format!("{} is no name of a host and no address", shown(host));
    Err(Error::new(ErrorKind::ConfigInvalid, message)
        .with_hint("write the name alone, with letters, digits, `-` and `.`"))
}

/// Checks the URL of a service: one of the given schemes, a host, and an optional port.
///
/// # Errors
/// `ConfigInvalid` when it is anything else, such as a URL with a user, a path or a query.
pub fn check_endpoint(address: &str, schemes: &[&str]) -> Result<()> {
    let wrong = || {
        let first = schemes.first().copied().unwrap_or_default();
        let message = format!("{} is no address of a service", shown(address));
        Error::new(ErrorKind::ConfigInvalid, message).with_hint(format!(
            "write `{first}://`, the host and the port, and nothing else: user and password have keys of their own"
        ))
    };
    let (scheme, rest) = address.split_once("://").ok_or_else(wrong)?;
    if !schemes.contains(&scheme) {
        return Err(wrong());
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(wrong)?;
            host.parse::<Ipv6Addr>().map_err(|_| wrong())?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or_else(wrong)?) })
        }
        None => match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    if port.is_some_and(|port| !is_port(port)) {
        return Err(wrong());
    }
    check_host(host).map_err(|_| wrong())
}

/// The text as an error shows it. A text with an `@` is not shown, because it may contain a password.
fn shown(text: &str) -> String {
    if text.contains('@') { "what is given".to_owned() } else { format!("`{}`", text.escape_debug()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_names() {
        for right in ["eu-west-1", "us-gov-east-1", "auto", "cn-north-1"] {
            check_region(right, false).unwrap();
        }
        check_region("RegionOne", true).unwrap();
        for wrong in [
            "",
            "evil.test/x?",
            "a.b",
            "a/b",
            "a?b",
            "a#b",
            "a@b",
            "a:b",
            "a b",
            "a\n",
            "-a",
            "a-",
            "a%2e",
            "é",
        ] {
            for has_endpoint in [false, true] {
                let error = check_region(wrong, has_endpoint).unwrap_err().to_string();
                assert!(error.contains("is no name of a region"), "{error}");
            }
        }
        assert!(check_region("RegionOne", false).is_err() && check_region(&"a".repeat(64), false).is_err());
    }

    #[test]
    fn addresses_have_a_host_and_a_port_and_nothing_else() {
        let check = |address: &str| check_endpoint(address, &["https", "http"]);
        for right in [
            "https://s3.example.org",
            "http://127.0.0.1:9000/",
            "http://[::1]:4566",
            "http://[::1]",
            "http://my_minio:9000",
        ] {
            check(right).unwrap();
        }
        for wrong in [
            "",
            "localhost:9000",
            "ftp://host",
            "http://",
            "http://host:",
            "http://host:0",
            "http://host:70000",
            "http://host:+1",
            "http://host:80:81",
            "http://u:hunter2@host",
            "http://hunter2@host:80",
            "http://host/path",
            "http://host?x",
            "http://host#x",
            "http://ho st",
            "http://host\\evil",
            "http://host\n",
            "http://.host",
            "http://host..b",
            "http://[::1",
            "http://[::1]x",
            "http://[host]",
            "http://::1",
            "http://host//",
            "http://ex%61mple",
        ] {
            let error = check(wrong).expect_err(wrong).to_string();
            assert!(error.contains("address of a service") && !error.contains("hunter2"), "{error}");
        }
        check_host("db.example.org").unwrap();
        check_host("::1").unwrap();
        for wrong in ["", "a/b", "a:1", "u:hunter2@h", "a?b", "redis://h"] {
            let error = check_host(wrong).expect_err(wrong).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
