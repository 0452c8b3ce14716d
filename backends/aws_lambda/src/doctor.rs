//! The checks of `lithops doctor`: credentials first, because without them nothing else can be asked.

use lithops_cloud_aws::raise_file_limit;
use lithops_core::{
    artifact::{Artifact, BinaryRequirements},
    compute::{Check, Severity},
    error::Error,
};

use crate::{
    AwsLambdaBackend,
    client::Client,
    failure,
    package::target,
    policy::{client_policy, role_policy},
};

/// How many files and connections a process needs beside those to Lambda.
const SPARE: u64 = 100;

/// All findings, good and bad.
pub(crate) async fn check(backend: &AwsLambdaBackend) -> Vec<Check> {
    let mut found = program(backend).await;
    let client = match backend.client().await {
        Ok(client) => client,
        Err(error) => {
            found.push(bad(&error));
            return found;
        }
    };
    found.push(fine(format!("the region is {}", client.region)));
    let account = match account(client).await {
        Ok(account) => account,
        Err(error) => {
            // Nothing else can be asked.
            found.push(bad(&error));
            return found;
        }
    };
    found.push(fine(format!("the credentials are of account {account}")));
    found.push(role(backend, &account));
    found.push(concurrency(backend, client).await);
    found.push(functions(backend, client).await);
    found.extend(connections(backend.max_workers));
    if let Some((storage, locator)) = backend.storage() {
        found.push(
            match storage.list_keys(storage.bucket(), lithops_core::storage::own_keys::PROGRAMS).await {
                Ok(programs) => {
                    let region = locator.region.as_deref();
                    let elsewhere =
                        region.filter(|region| *region != client.region && locator.endpoint.is_none());
                    match elsewhere {
                    Some(region) => Check {
                        finding: format!("the bucket is in {region}, and functions are in {}", client.region),
                        severity: Severity::Warning,
                        remedy: Some(
                            "use a bucket of the same region: others are slower, and cost by the gigabyte"
                                .into(),
                        ),
                    },
                    None => {
                        let count = programs.iter().filter(|key| key.ends_with(".zst")).count();
                        fine(format!(
                            "the bucket `{}` can be read, {count} programs lie there",
                            storage.bucket()
                        ))
                    }
                }
                }
                Err(error) => bad(&error),
            },
        );
    }
    let bucket = backend.storage().map(|(storage, _)| storage.bucket());
    for (who, policy) in [
        ("whoever runs jobs", client_policy(backend.config(), &client.region, &account, bucket)),
        ("the role of the functions", role_policy(backend.config(), &client.region, &account, bucket)),
    ] {
        found.push(fine(format!("{who} needs no more than this policy: {policy}")));
    }
    found
}

/// Checks the programs that are deployed and stored.
async fn program(backend: &AwsLambdaBackend) -> Vec<Check> {
    let machine = backend.config().machine;
    let bootstrap = match backend.bootstrap() {
        Ok(bootstrap) => bootstrap,
        Err(error) => return vec![bad(&error)],
    };
    let name = bootstrap.path.display().to_string();
    let read = bootstrap.read(machine).await;
    let mut found = vec![match &read {
        Ok(artifact) => fine(describe(&name, "is what is deployed", artifact)),
        Err(error) => bad(error),
    }];
    if let Some(artifact) = &backend.config().artifact {
        let name = artifact.display().to_string();
        found.push(match Artifact::read(artifact, &target(machine)).await {
            Ok(artifact) => fine(describe(&name, "has the functions", &artifact)),
            Err(error) => bad(&error),
        });
    }
    found
}

fn describe(name: &str, what: &str, artifact: &Artifact) -> String {
    let needs = BinaryRequirements::of(&artifact.bytes, name);
    let glibc = needs.ok().and_then(|needs| Some((needs.machine, needs.glibc?)));
    let glibc = glibc
        .map_or_else(String::new, |(machine, glibc)| format!(", for {machine} with glibc {glibc} or newer"));
    format!("`{name}` {what}: {} KiB{glibc}", artifact.bytes.len() >> 10)
}

async fn account(client: &Client) -> Result<String, Error> {
    let identity = client.identity.get_caller_identity().send().await;
    let identity = identity.map_err(|error| failure::of(&error, "ask whose the credentials are"))?;
    Ok(identity.account().unwrap_or("unknown").to_owned())
}

fn role(backend: &AwsLambdaBackend, account: &str) -> Check {
    let Some(role) = &backend.config().execution_role else {
        return Check {
            finding: "`execution_role` is missing: functions run as a role".into(),
            severity: Severity::Error,
            remedy: Some(
                "write its ARN in section `aws_lambda`; what it must be allowed stands below".into(),
            ),
        };
    };
    match role.split(':').nth(4) {
        Some(of) if of == account => fine(format!("functions run as {role}")),
        of => Check {
            finding: format!(
                "the role {role} is of account {}, the credentials are of {account}",
                of.unwrap_or("?")
            ),
            severity: Severity::Error,
            remedy: Some("name a role of the same account: Lambda takes no other".into()),
        },
    }
}

async fn concurrency(backend: &AwsLambdaBackend, client: &Client) -> Check {
    let settings = match client.functions.get_account_settings().send().await {
        Ok(settings) => settings,
        Err(error) => return bad(&failure::of(&error, "ask how many instances may live")),
    };
    let limit = settings.account_limit().map_or(0, |limit| {
        limit.unreserved_concurrent_executions().unwrap_or_else(|| limit.concurrent_executions())
    });
    let limit = usize::try_from(limit).unwrap_or(0);
    let wanted = backend.max_workers;
    if limit < wanted {
        return Check {
            finding: format!("`max_workers` is {wanted}, and the account may have {limit} instances at once"),
            severity: Severity::Warning,
            remedy: Some(format!(
                "write `max_workers: {limit}`, or ask AWS for a higher quota: more are refused and tried again"
            )),
        };
    }
    fine(format!("the account may have {limit} instances at once, `max_workers` is {wanted}"))
}

/// Checks how many connections this process may have: each instance that it waits for is one.
fn connections(wanted: usize) -> Option<Check> {
    let files = raise_file_limit();
    (files < wanted as u64 + SPARE).then(|| Check {
        finding: format!(
            "`max_workers` is {wanted}, and this process may have {files} files and connections"
        ),
        severity: Severity::Warning,
        remedy: Some(format!(
            "allow more with `ulimit -Hn`, or write `max_workers: {}`",
            files.saturating_sub(SPARE)
        )),
    })
}

async fn functions(backend: &AwsLambdaBackend, client: &Client) -> Check {
    match crate::deploy::list(client, backend.config()).await {
        Ok(functions) => fine(format!("{} functions are deployed", functions.len())),
        Err(error) => bad(&error),
    }
}

fn fine(finding: String) -> Check {
    Check { finding, severity: Severity::Fine, remedy: None }
}

fn bad(error: &Error) -> Check {
    Check {
        finding: error.message().to_owned(),
        severity: Severity::Error,
        remedy: error.hint().map(str::to_owned),
    }
}
