//! `exec_mode: consume`: no instance is started, and the job says how its user starts workers on instances that there are.

use lithops_core::{
    compute::{Scaled, WaitingWorkers},
    error::Result,
    process::PULL,
    protocol::Launch,
    storage::StorageClient,
};

use crate::{
    fleet::started_prefix,
    program::FleetProgram,
    user_data::{arguments, aws, quoted},
};

/// The workers that the user has started, and how to start the others. They cost nothing that is ours to count.
///
/// # Errors
/// When the storage does not say which were started.
pub(crate) async fn scaled(
    (launch, program, region): (&Launch, &FleetProgram, &str),
    wanted: usize,
    storage: &StorageClient,
) -> Result<Scaled> {
    let prefix = started_prefix(&launch.fleet);
    let marks = storage.list_keys(storage.bucket(), &prefix).await?;
    let live: Vec<String> =
        marks.iter().filter_map(|key| Some(key.strip_prefix(&prefix)?.to_owned())).collect();
    let mut scaled =
        Scaled { hour_usd: live.iter().map(|name| (name.clone(), 0.0)).collect(), ..Scaled::live(live) };
    let missing = wanted.saturating_sub(scaled.live.len());
    if missing > 0 {
        let why = format!(
            "`exec_mode` is `consume`: start each on an instance of yours, by: {}",
            command(launch, program, region)?
        );
        scaled.waiting.push(WaitingWorkers { count: missing, why, is_hopeless: false });
    }
    Ok(scaled)
}

/// A line of a shell that fetches the program and runs it as a worker of the fleet. It holds no secret.
fn command(launch: &Launch, program: &FleetProgram, region: &str) -> Result<String> {
    let bucket = &launch.storage.bucket;
    let region = launch.storage.region.as_deref().unwrap_or(region);
    let aws = aws(launch, region);
    let file = format!("lithops-{}", program.digest.get(..12).unwrap_or(&program.digest));
    let mark = format!("\"s3://{bucket}/{}$W\"", started_prefix(&launch.fleet));
    Ok(format!(
        "W=$(hostname)-$$; {aws} cp --only-show-errors {} - | gzip -dc > {file} && chmod 755 {file} && printf started | {aws} cp \
         --only-show-errors - {mark} && LITHOPS_WORKER=$W LITHOPS_TRANSPORT={PULL} AWS_REGION={} LITHOPS_LAUNCH={} ./{file}{}; \
         {aws} rm --only-show-errors {mark}",
        quoted(&format!("s3://{bucket}/{}", program.key)),
        quoted(region),
        quoted(&launch.to_json()?),
        arguments(program),
    ))
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, process::Command};

    use lithops_core::{protocol::SignKey, storage::Locator};

    use super::*;

    #[test]
    fn the_line_is_one_that_a_shell_can_read() {
        let verify = SignKey::generate().expect("a key").verify_key();
        let launch = Launch::new("f-1", verify, Locator::new("aws_s3", "it's a bucket"));
        let program = FleetProgram {
            key: "lithops.programs/ab12.gz".into(),
            digest: "ab12".into(),
            arguments: vec!["-x".into(), "a 'b'".into()],
        };
        let line = command(&launch, &program, "eu-west-1").expect("it fits");
        assert!(line.contains("LITHOPS_TRANSPORT=pull AWS_REGION=eu-west-1 LITHOPS_LAUNCH='{"), "{line}");
        assert!(!line.contains('\n'), "{line}");
        let mut bash =
            Command::new("bash").arg("-n").stdin(std::process::Stdio::piped()).spawn().expect("bash");
        bash.stdin.take().expect("its input").write_all(line.as_bytes()).expect("written");
        assert!(bash.wait().expect("an end").success(), "{line}");
    }
}
