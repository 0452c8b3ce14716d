//! [`Reference`]: the name of an image in a registry.

use std::{fmt, net::IpAddr, str::FromStr};

use lithops_core::{
    digest::Digest,
    error::{Error, ErrorKind, Result},
};

use crate::image::{oci_digest, parse_digest};

const DOCKER_HUB: &str = "docker.io";

/// The name of an image, or of a repository of images, in a registry: `[http://]HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`.
///
/// Names without a host are those of Docker Hub, as with Docker. Requests go over TLS. They are plain HTTP where the host
/// is `localhost` or an address of this machine or of a private network, and where `http://` is in front; `https://` in
/// front asks for TLS there too.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    is_plain: bool,
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The host, and the port if it is named.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository in the registry.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `None` if none is named.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest; `None` if none is named.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The same repository, with this tag and digest.
    #[must_use]
    pub fn with(&self, tag: Option<&str>, digest: Option<Digest>) -> Self {
        Self { tag: tag.map(str::to_owned), digest, ..self.clone() }
    }

    /// What names the manifest in a request: the digest, the tag, or `latest`.
    pub(crate) fn manifest(&self) -> String {
        let tag = || self.tag.clone().unwrap_or_else(|| "latest".to_owned());
        self.digest.as_ref().map_or_else(tag, oci_digest)
    }

    /// The beginning of the addresses of requests.
    pub(crate) fn api(&self) -> String {
        let host = if self.registry == DOCKER_HUB { "registry-1.docker.io" } else { &self.registry };
        format!("{}://{host}/v2/", if self.is_plain { "http" } else { "https" })
    }

    /// Whether the registry is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = host(&self.registry);
        host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{}", oci_digest(digest)))
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // What may be a password is not shown.
        let shown = if text.contains("://") && text.contains('@') { "the name" } else { text };
        let refuse = |why: &str| {
            Error::new(ErrorKind::InvalidInput, format!("`{shown}` is no name of an image: {why}"))
                .with_hint("write `registry.example.com/team/app:tag`")
        };
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (Some(scheme), rest),
            Some(_) => return Err(refuse("in front of it is neither `http://` nor `https://`")),
            None => (None, text),
        };
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) if digest.starts_with("sha256:") => (rest, Some(parse_digest(digest)?)),
            Some(_) => return Err(refuse("after the `@` is no `sha256:`; a user is not part of the name")),
            None => (rest, None),
        };
        let is_host = |part: &str| scheme.is_some() || part.contains(['.', ':']) || part == "localhost";
        let (registry, path) = match rest.split_once('/') {
            Some((first, path)) if is_host(first) => (first, path.to_owned()),
            Some(_) => (DOCKER_HUB, rest.to_owned()),
            None if scheme.is_some() => return Err(refuse("it has no repository")),
            None => (DOCKER_HUB, format!("library/{rest}")),
        };
        let registry = if registry == "index.docker.io" { DOCKER_HUB } else { registry };
        let (repository, tag) = match path.rsplit_once(':') {
            Some((repository, tag)) => (repository.to_owned(), Some(tag.to_owned())),
            None => (path, None),
        };
        if !is_registry(registry) {
            return Err(refuse("its host has other characters than letters, digits, `-` and `.`"));
        }
        if !repository.split('/').all(is_part) || repository.len() > 255 {
            return Err(refuse(
                "its repository has other characters than a-z, 0-9, `.`, `_`, `-` between `/`",
            ));
        }
        if !tag.as_deref().is_none_or(is_tag) {
            return Err(refuse(
                "its tag has other characters than letters, digits, `.`, `_`, `-`, or is too long",
            ));
        }
        let is_plain = match scheme {
            Some(scheme) => scheme == "http",
            None => is_near(registry),
        };
        Ok(Self { is_plain, registry: registry.to_owned(), repository, tag, digest })
    }
}

/// The host of a registry, without its port.
fn host(registry: &str) -> &str {
    if let Some(rest) = registry.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    registry.rsplit_once(':').map_or(registry, |(host, _)| host)
}

/// Whether the registry is named by an address of this machine or of a private network.
fn is_near(registry: &str) -> bool {
    let host = host(registry);
    host == "localhost"
        || host.parse().is_ok_and(|address: IpAddr| match address {
            IpAddr::V4(address) => address.is_loopback() || address.is_private(),
            IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
        })
}

fn is_registry(registry: &str) -> bool {
    let (name, port) = match registry.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => {
                ("v6", port.strip_prefix(':'))
            }
            _ => return false,
        },
        None => registry.rsplit_once(':').map_or((registry, None), |(host, port)| (host, Some(port))),
    };
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
    };
    name.len() <= 253 && name.split('.').all(is_part) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn is_part(part: &str) -> bool {
    let is_end = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let is_inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._-".contains(&c);
    part.bytes().all(is_inner) && is_end(part.bytes().next()) && is_end(part.bytes().last())
}

fn is_tag(tag: &str) -> bool {
    let is_inner = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
    (1..=128).contains(&tag.len()) && tag.bytes().all(is_inner) && !tag.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_docker_reads_them() {
        for (text, api, shown) in [
            ("debian", "https://registry-1.docker.io/v2/", "docker.io/library/debian"),
            ("team/app:1", "https://registry-1.docker.io/v2/", "docker.io/team/app:1"),
            ("r.test/a/b_c:V1.2", "https://r.test/v2/", "r.test/a/b_c:V1.2"),
            ("localhost:5000/a", "http://localhost:5000/v2/", "localhost:5000/a"),
            ("127.0.0.1:5000/a", "http://127.0.0.1:5000/v2/", "127.0.0.1:5000/a"),
            ("[::1]:5000/a", "http://[::1]:5000/v2/", "[::1]:5000/a"),
            ("10.1.2.3/a", "http://10.1.2.3/v2/", "10.1.2.3/a"),
            ("8.8.8.8/a", "https://8.8.8.8/v2/", "8.8.8.8/a"),
            ("http://r.test/a", "http://r.test/v2/", "r.test/a"),
            ("https://10.1.2.3/a", "https://10.1.2.3/v2/", "10.1.2.3/a"),
        ] {
            let name: Reference = text.parse().expect(text);
            assert_eq!((name.api().as_str(), name.to_string().as_str()), (api, shown));
        }
        let digest = Digest::of(b"x");
        let name: Reference = format!("r.test/a:1@sha256:{digest}").parse().unwrap();
        assert_eq!((name.tag(), name.digest()), (Some("1"), Some(digest)));
        assert_eq!(name.manifest(), format!("sha256:{digest}"));
    }

    #[test]
    fn what_would_lead_elsewhere_is_refused_and_no_password_is_shown() {
        for text in [
            "",
            "A",
            "r.test/",
            "r.test/A",
            "r.test/a//b",
            "r.test/../b",
            "r.test/a?b",
            "r.test/a:",
            "r.test/a:.x",
            "ftp://r.test/a",
            "r.test:x/a",
            "r .test/a",
            "r.test/a@md5:0",
            "http://r.test",
            "r.test#/a",
            "[::1/a",
            "https://u:hunter2@r.test/a",
        ] {
            let error = text.parse::<Reference>().expect_err(text).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
