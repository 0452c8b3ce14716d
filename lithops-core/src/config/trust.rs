//! What a configuration may not say that was found only because of the working directory.
//!
//! Whoever unpacks an archive or changes into a folder of another user has not read its `.lithops_config`. It may
//! choose a backend, but it may not name a program to run or a place to send credentials to.

use super::Config;
use crate::error::{Error, ErrorKind, Result};

/// Keys that are refused in every section, and why.
const EVERYWHERE: [(&str, &str); 8] = [
    ("plugins", RUNS),
    ("artifact", RUNS),
    ("credential_process", RUNS),
    ("kubecfg_path", "a kubeconfig names programs to run"),
    ("endpoint", REDIRECTS),
    ("endpoint_url", REDIRECTS),
    ("private_endpoint", REDIRECTS),
    ("auth_url", REDIRECTS),
];
/// Keys that are refused in one section.
const IN_SECTION: [(&str, &str, &str); 1] = [("localhost", "runtime", RUNS)];

const RUNS: &str = "it names a program to run";
const REDIRECTS: &str = "it names where credentials are sent";

/// Refuses what only a file named on purpose may say.
pub(super) fn check(config: &Config) -> Result<()> {
    for (section, _) in config.sections() {
        if let Some((name, reason)) = EVERYWHERE.iter().find(|(name, _)| *name == section) {
            return Err(refuse(config, &format!("section `{name}`"), reason));
        }
        for (key, located) in config.section(section).iter().filter(|(_, located)| !located.value.is_null()) {
            let everywhere = EVERYWHERE.iter().find(|(name, _)| *name == key).map(|(_, reason)| reason);
            let here = IN_SECTION.iter().find(|(of, name, _)| *of == section && *name == key);
            if let Some(reason) = everywhere.or(here.map(|(_, _, reason)| reason)) {
                let what = format!("`{key}` in section `{section}` {}", located.origin.phrase());
                return Err(refuse(config, &what, reason));
            }
        }
    }
    Ok(())
}

fn refuse(config: &Config, what: &str, reason: &str) -> Error {
    let file = config.found_in().map(ToString::to_string).unwrap_or_default();
    let message = format!(
        "{what} is not accepted from a file that was only found in the working directory, because {reason}"
    );
    Error::new(ErrorKind::ConfigInvalid, message).with_hint(format!(
        "if you trust the file, name it: `.config_file(\"{file}\")` or `LITHOPS_CONFIG_FILE={file}`"
    ))
}
