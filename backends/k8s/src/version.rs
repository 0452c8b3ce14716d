//! Which versions of Kubernetes will do.

use lithops_core::error::{Error, ErrorKind, Result};
use lithops_kubernetes::Cluster;

/// The oldest version 1.x of Kubernetes whose Jobs limit the retries of each index.
const OLDEST: u32 = 29;

/// Asks the cluster for its version; returns it.
///
/// # Errors
/// When the cluster does not answer, or is too old.
pub(crate) async fn check(cluster: &Cluster) -> Result<String> {
    let version = cluster.version().await?;
    if is_too_old(&version.major, &version.minor) {
        let problem = format!(
            "the cluster at {} is Kubernetes {}.{}, and 1.{OLDEST} is the oldest whose Jobs can limit the retries of \
             each worker",
            cluster.address, version.major, version.minor
        );
        return Err(
            Error::new(ErrorKind::Unsupported, problem).with_hint("upgrade the cluster, or use another one")
        );
    }
    Ok(version.git_version)
}

/// Minor versions of some clouds end in `+`.
fn is_too_old(major: &str, minor: &str) -> bool {
    let digits: String = minor.chars().take_while(char::is_ascii_digit).collect();
    major == "1" && digits.parse().is_ok_and(|minor: u32| minor < OLDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_are_too_old_are_known() {
        for (major, minor, is_old) in [
            ("1", "28", true),
            ("1", "28+", true),
            ("1", "29", false),
            ("1", "34+", false),
            ("2", "0", false),
        ] {
            assert_eq!(is_too_old(major, minor), is_old, "{major}.{minor}");
        }
    }
}
