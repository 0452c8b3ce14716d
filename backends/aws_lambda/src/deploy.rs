//! The deployment of functions. The name of a function is a digest of what it consists of: two clients that deploy the
//! same deploy once, and no function that another client uses is changed.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_lambda::{
    operation::{
        create_function::CreateFunctionError, get_function_configuration::GetFunctionConfigurationOutput,
    },
    primitives::Blob,
    types::{
        Architecture, Environment, EphemeralStorage, FileSystemConfig, FunctionCode,
        Runtime as LambdaRuntime, State, VpcConfig,
    },
};
use lithops_core::{
    artifact::{Artifact, Machine},
    compute::{Package, Runtime, RuntimeId},
    digest::Digest,
    error::{Error, ErrorKind, Result},
    storage::{PutMode, StorageClient, own_keys::PROGRAMS},
};

use crate::{
    client::Client,
    config::AwsLambdaConfig,
    failure,
    package::{Bootstrap, zipped},
};

/// A zip of more bytes is not sent with the request, which has a limit, but put into the bucket.
const SENT: usize = 50 << 20;
/// How long a function may take until it can be invoked.
const READY: Duration = Duration::from_secs(300);
/// The pause between two looks at the state of a function.
const LOOK: Duration = Duration::from_millis(250);
/// The tag with the digest of the program that is the function.
const INCLUDED: &str = "LITHOPS_PROGRAM";
/// The tag that marks functions of lithops.
const TAG: &str = "lithops";

/// A function as it is to be deployed.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) memory: u64,
    bootstrap: Artifact,
    is_program: bool,
}

impl Wanted {
    /// The function under a configuration, with this much memory in each instance.
    ///
    /// # Errors
    /// When the program cannot run there.
    pub(crate) async fn of(
        config: &AwsLambdaConfig,
        bootstrap: &Bootstrap,
        memory: u64,
        timeout: Duration,
    ) -> Result<Self> {
        let artifact = bootstrap.read(config.machine).await?;
        let name = name(config, memory, timeout, artifact.digest, bootstrap.is_program);
        Ok(Self { name, memory, bootstrap: artifact, is_program: bootstrap.is_program })
    }
}

/// The beginning of the names of all functions under a configuration.
pub(crate) fn family(config: &AwsLambdaConfig) -> String {
    let parts = ["lithops"].into_iter().chain(config.namespace.as_deref());
    parts.collect::<Vec<_>>().join("-") + "-"
}

/// The name of a function, 64 characters at most: the parts that people look for, and a digest of everything else.
fn name(
    config: &AwsLambdaConfig,
    memory: u64,
    timeout: Duration,
    program: Digest,
    is_program: bool,
) -> String {
    let all = format!(
        "{program} {is_program} {:?} {} {:?} {:?} {:?} {:?} {:?}",
        config.execution_role,
        config.machine,
        config.ephemeral_storage,
        config.env_vars,
        config.user_tags,
        config.vpc,
        config.efs
    );
    let digest = Digest::of(all.as_bytes()).to_string();
    let version = env!("CARGO_PKG_VERSION").replace('.', "-");
    let runtime = config.runtime.as_deref().map_or_else(String::new, |runtime| format!("{runtime}-"));
    format!("{}{runtime}{version}-{memory}-{}-{}", family(config), timeout.as_secs(), &digest[..12])
}

/// Writes the zip of the function into the current folder.
pub(crate) async fn build(wanted: &Wanted) -> Result<Package> {
    let zip = zip(wanted).await?;
    let path = std::env::current_dir()?.join(format!("{}.zip", wanted.name));
    std::fs::write(&path, &zip)?;
    Ok(Package { path, size: zip.len() as u64 })
}

async fn zip(wanted: &Wanted) -> Result<Vec<u8>> {
    let program = wanted.bootstrap.bytes.clone();
    let zipped = tokio::task::spawn_blocking(move || zipped(&program)).await;
    zipped.unwrap_or_else(|error| Err(Error::new(ErrorKind::Unexpected, format!("no zip: {error}"))))
}

/// Makes the function exist and be ready. A function that is ready is not changed.
pub(crate) async fn ensure(
    client: &Client,
    config: &AwsLambdaConfig,
    wanted: &Wanted,
    timeout: Duration,
    storage: Option<&StorageClient>,
) -> Result<Runtime> {
    let look = client.functions.get_function_configuration().function_name(&wanted.name).send().await;
    let is_ready = match look {
        Ok(found) => is_ready(&found, &wanted.name)?,
        Err(error) => match failure::of(&error, &format!("look at the function `{}`", wanted.name)) {
            error if error.kind() == ErrorKind::NotFound => {
                create(client, config, wanted, timeout, storage).await?;
                false
            }
            error => return Err(error),
        },
    };
    if !is_ready {
        wait(client, &wanted.name).await?;
    }
    Ok(Runtime { id: RuntimeId(wanted.name.clone()), memory: Some(wanted.memory) })
}

async fn create(
    client: &Client,
    config: &AwsLambdaConfig,
    wanted: &Wanted,
    timeout: Duration,
    storage: Option<&StorageClient>,
) -> Result<()> {
    let role = config.execution_role.as_ref().ok_or_else(|| {
        Error::new(ErrorKind::ConfigInvalid, "`execution_role` is missing in section `aws_lambda`: functions run as a role")
            .with_hint(
                "write `execution_role: arn:aws:iam::123456789012:role/my-role`; `lithops doctor` prints what the role \
                 must be allowed",
            )
            .with_context("key", "aws_lambda.execution_role")
    })?;
    tracing::info!(function = wanted.name, "deploying");
    let code = code(zip(wanted).await?, wanted, storage).await?;
    let mut variables = config.env_vars.clone();
    if wanted.is_program {
        variables.insert(INCLUDED.to_owned(), wanted.bootstrap.digest.to_string());
    }
    let mut tags = config.user_tags.clone();
    tags.insert(TAG.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let architecture = match config.machine {
        Machine::Arm64 => Architecture::Arm64,
        Machine::X86_64 => Architecture::X8664,
    };
    let mut request = client
        .functions
        .create_function()
        .function_name(&wanted.name)
        .description("a worker of lithops")
        .runtime(LambdaRuntime::from("provided.al2023"))
        .architectures(architecture)
        .handler("lithops")
        .role(role)
        .memory_size(narrow(wanted.memory))
        .timeout(narrow(timeout.as_secs()))
        .code(code)
        .environment(Environment::builder().set_variables(Some(sorted(variables))).build())
        .set_tags(Some(sorted(tags)));
    if let Some(disk) = config.ephemeral_storage {
        let disk = EphemeralStorage::builder().size(disk).build();
        request = request.ephemeral_storage(disk.map_err(|error| unexpected(&error))?);
    }
    if let Some((subnets, groups)) = &config.vpc {
        let vpc = VpcConfig::builder().set_subnet_ids(Some(subnets.clone()));
        request = request.vpc_config(vpc.set_security_group_ids(Some(groups.clone())).build());
    }
    for (access_point, path) in &config.efs {
        let mount = FileSystemConfig::builder().arn(access_point).local_mount_path(path).build();
        request = request.file_system_configs(mount.map_err(|error| unexpected(&error))?);
    }
    match request.send().await {
        Ok(_) => Ok(()),
        // Another client has made the same function: the name is the digest of its parts.
        Err(error)
            if matches!(
                error.as_service_error(),
                Some(CreateFunctionError::ResourceConflictException(_))
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(failure::of(&error, &format!("deploy the function `{}`", wanted.name))),
    }
}

/// The zip, or its place in the bucket when it is too large to be sent.
async fn code(zip: Vec<u8>, wanted: &Wanted, storage: Option<&StorageClient>) -> Result<FunctionCode> {
    if zip.len() <= SENT {
        return Ok(FunctionCode::builder().zip_file(Blob::new(zip)).build());
    }
    let megabytes = zip.len() >> 20;
    let storage = storage.filter(|storage| storage.info().scheme == "aws_s3").ok_or_else(|| {
        let problem =
            format!("the function's code is {megabytes} MB, and more than 50 MB must lie in a bucket of S3");
        Error::new(ErrorKind::PayloadTooLarge, problem)
            .with_hint("use the storage `aws_s3` in the same region")
    })?;
    let key = format!("{PROGRAMS}{}.zip", wanted.bootstrap.digest);
    storage.storage().put(storage.bucket(), &key, zip.into(), PutMode::Overwrite).await?;
    Ok(FunctionCode::builder().s3_bucket(storage.bucket()).s3_key(key).build())
}

/// Waits until a function can be invoked.
async fn wait(client: &Client, name: &str) -> Result<()> {
    let ready = async {
        loop {
            let found = client.functions.get_function_configuration().function_name(name).send().await;
            let found =
                found.map_err(|error| failure::of(&error, &format!("look at the function `{name}`")))?;
            if is_ready(&found, name)? {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(READY, ready).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Timeout, format!("the function `{name}` was not ready after {READY:?}"))
            .with_hint("look at it in the console of Lambda; functions in a VPC take longest"))
    })
}

fn is_ready(found: &GetFunctionConfigurationOutput, name: &str) -> Result<bool> {
    match found.state() {
        // An inactive function was not used for long; its next invocation makes it active again.
        Some(State::Active | State::Inactive) | None => Ok(true),
        Some(State::Failed) => {
            let why = found.state_reason().unwrap_or("no reason is given");
            Err(Error::new(ErrorKind::Io, format!("the function `{name}` cannot be made ready: {why}"))
                .with_hint(format!("delete it with `lithops runtime delete {name}`, and deploy again")))
        }
        Some(_) => Ok(false),
    }
}

/// The functions under a configuration.
pub(crate) async fn list(client: &Client, config: &AwsLambdaConfig) -> Result<Vec<Runtime>> {
    let family = family(config);
    let mut pages = client.functions.list_functions().into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| failure::of(&error, "list the functions"))?;
        for function in page.functions() {
            let Some(name) = function.function_name().filter(|name| name.starts_with(&family)) else {
                continue;
            };
            let memory = function.memory_size().and_then(|memory| u64::try_from(memory).ok());
            found.push(Runtime { id: RuntimeId(name.to_owned()), memory });
        }
    }
    found.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(found)
}

/// Removes a function.
pub(crate) async fn delete(client: &Client, name: &str) -> Result<()> {
    let deleted = client.functions.delete_function().function_name(name).send().await;
    deleted.map(drop).map_err(|error| failure::of(&error, &format!("delete the function `{name}`")))
}

fn sorted(map: BTreeMap<String, String>) -> std::collections::HashMap<String, String> {
    map.into_iter().collect()
}

fn narrow(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn unexpected(error: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Unexpected, format!("cannot describe the function: {error}"))
}
