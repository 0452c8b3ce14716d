//! What an instance runs when it boots: a script that sets its own end before anything that can fail, fetches the program
//! by its digest, and runs it as the worker.
//!
//! The worker alone hears that it is to leave (`KillMode=mixed`): systemd would tell its sub-workers too, and end the calls
//! that they may still finish. Temporary files lie on the disk: `/tmp` of Amazon Linux is memory.

use lithops_core::{
    error::{Error, ErrorKind, Result},
    protocol::Launch,
    storage::Locator,
};

use crate::{config::Ec2Config, fleet::Start, program::FleetProgram};

const SCRIPT: &str = include_str!("user_data.sh");
/// The most bytes that EC2 takes, before they are encoded.
const LARGEST: usize = 16 << 10;

/// The script of the instances of a fleet. It holds no secret: programs on the instance, and users who may describe it,
/// can read it.
///
/// # Errors
/// It is longer than EC2 takes.
pub(crate) fn script(start: Start<'_>, launch: &Launch) -> Result<String> {
    filled((start.config, start.program), launch, start.ec2.region(), start.transport)
}

fn filled(
    (config, program): (&Ec2Config, &FleetProgram),
    launch: &Launch,
    region: &str,
    transport: &str,
) -> Result<String> {
    let Locator { bucket, .. } = &launch.storage;
    let region = launch.storage.region.as_deref().unwrap_or(region);
    let minutes = config.hard_limit.as_secs().div_ceil(60);
    let script = SCRIPT
        .replace("@MINUTES@", &minutes.to_string())
        .replace("@REGION@", &quoted(region))
        .replace("@S3@", &aws(launch, region))
        .replace("@PROGRAM@", &quoted(&format!("s3://{bucket}/{}", program.key)))
        .replace("@DIGEST@", &program.digest)
        .replace("@FLEET@", &format!("s3://{bucket}/lithops.fleets/{}/", launch.fleet))
        .replace("@TRANSPORT@", transport)
        .replace("@ARGUMENTS@", &arguments(program))
        .replace("@LAUNCH@", &quoted(&launch.to_json()?));
    if script.len() > LARGEST {
        let problem = format!("the user data has {} bytes, and EC2 takes {LARGEST}", script.len());
        return Err(Error::new(ErrorKind::InvalidInput, problem)
            .with_hint("give the program fewer arguments: they are part of it"));
    }
    Ok(script)
}

/// The command that copies to and from the storage of a fleet.
pub(crate) fn aws(launch: &Launch, region: &str) -> String {
    let endpoint = launch.storage.endpoint.as_deref();
    let endpoint =
        endpoint.map_or_else(String::new, |endpoint| format!(" --endpoint-url {}", quoted(endpoint)));
    format!("aws --region {}{endpoint} s3", quoted(region))
}

/// The arguments of the program, each behind a space.
pub(crate) fn arguments(program: &FleetProgram) -> String {
    program.arguments.iter().map(|argument| format!(" {}", quoted(argument))).collect()
}

/// A word of a shell that means just this text.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::{io::Write, process::Command};

    use lithops_core::{config::Config, process::PULL, protocol::SignKey};

    use super::*;

    const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/user_data.golden.sh");

    fn made(bucket: &str, arguments: &[&str]) -> String {
        let config = Ec2Config::read(&Config::default()).expect("defaults fit");
        let verify = SignKey::generate().expect("a key").verify_key();
        let storage = Locator::new("aws_s3", bucket).with_region("eu-west-1");
        let launch = Launch::new("0198c0de-0000-7000-8000-000000000000", verify, storage);
        let program = FleetProgram {
            key: "lithops.programs/ab12.gz".into(),
            digest: "ab12".into(),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        };
        let script = filled((&config, &program), &launch, "us-east-1", PULL).expect("it fits");
        script.replace(&verify.to_string(), "VERIFY").replace(env!("CARGO_PKG_VERSION"), "VERSION")
    }

    #[test]
    fn the_script_is_the_golden_one() {
        let made = made("jobs", &[]);
        if std::env::var_os("WRITE_GOLDEN").is_some() {
            std::fs::write(GOLDEN, &made).expect("written");
        }
        let golden = std::fs::read_to_string(GOLDEN).expect("WRITE_GOLDEN=1 writes it");
        assert_eq!(made, golden, "WRITE_GOLDEN=1 writes it anew");
        assert!(made.len() < 4096, "{} bytes", made.len());
        // What is left is bash's own.
        assert_eq!(
            made.matches('@').count(),
            made.matches("\"$@\"").count(),
            "all places are filled: {made}"
        );
    }

    #[test]
    fn its_end_is_set_before_anything_that_can_fail() {
        let made = made("jobs", &[]);
        let lines: Vec<_> = made.lines().take(4).collect();
        assert_eq!(lines[1], "shutdown -h +720 'lithops: hard_dismantle_timeout'");
        assert_eq!(lines[2], "trap 'shutdown -h now' EXIT");
        assert!(lines[3].starts_with("set -e"));
    }

    /// Bash itself reads what was quoted.
    #[test]
    fn words_come_out_of_the_shell_as_they_went_in() {
        for word in ["plain", "", "a b", "it's", "$(date) `x` \"y\" \\", "ü\n#"] {
            let printed = Command::new("bash").args(["-c", &format!("printf %s {}", quoted(word))]).output();
            let printed = printed.expect("there is bash").stdout;
            assert_eq!(String::from_utf8_lossy(&printed), word);
        }
    }

    #[test]
    fn bash_can_parse_it() {
        let mut bash =
            Command::new("bash").arg("-n").stdin(std::process::Stdio::piped()).spawn().expect("bash");
        let script = made("it's a bucket", &["-x", "a 'b'"]);
        bash.stdin.take().expect("its input").write_all(script.as_bytes()).expect("written");
        assert!(bash.wait().expect("an end").success());
    }
}
