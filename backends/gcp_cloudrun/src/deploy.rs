//! The deployment of services. The name is a digest: two clients that deploy the same deploy once.

use std::{collections::BTreeMap, time::Duration};

use lithops_core::{
    compute::{Runtime, RuntimeId},
    error::{Error, ErrorKind, Result},
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    admin::{Admin, Api},
    service::{DIGEST, FAMILY, Wanted},
};

/// How long a service may take until it can be invoked: Cloud Run gives a container four minutes to listen.
const READY: Duration = Duration::from_secs(360);
/// The pauses between two looks at a service.
const LOOKS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// A service that can be invoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deployed {
    pub(crate) name: String,
    pub(crate) uri: String,
}

/// Makes the service exist and be ready. What a service consists of is never changed; only its number of instances is
/// raised.
pub(crate) async fn ensure(admin: &Admin, wanted: &Wanted) -> Result<Deployed> {
    let path = format!("{}/services/{}", admin.location(), wanted.name);
    let looking = format!("look at the service `{}`", wanted.name);
    let found = match admin.get(Api::Run, &path, &looking).await {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            create(admin, wanted).await?;
            admin.get(Api::Run, &path, &looking).await?
        }
        Err(error) => return Err(error),
    };
    if found["annotations"][DIGEST] != wanted.digest.as_str() {
        let problem = format!("there is a service `{}` that is none of this lithops", wanted.name);
        return Err(Error::new(ErrorKind::AlreadyExists, problem).with_hint(format!(
            "delete it with `lithops runtime delete {}`, and deploy again",
            wanted.name
        )));
    }
    let most = &found["template"]["scaling"]["maxInstanceCount"];
    if most.as_u64().is_some_and(|most| most < wanted.max_workers as u64) {
        raise(admin, wanted, &path).await?;
    }
    ready(admin, wanted, &path, found).await
}

async fn create(admin: &Admin, wanted: &Wanted) -> Result<()> {
    tracing::info!(service = wanted.name, "deploying");
    let doing = format!("deploy the service `{}`", wanted.name);
    let path = format!("{}/services?serviceId={}", admin.location(), wanted.name);
    match admin.call(Api::Run, Method::POST, &path, Some(&wanted.document), &doing).await {
        Ok(operation) => finish(admin, Api::Run, operation, &doing).await,
        // Another client was faster, and has made the same: the name is the digest of its parts.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Raises the number of instances. Another client may do so at the same time: the higher number is what is asked for next.
async fn raise(admin: &Admin, wanted: &Wanted, path: &str) -> Result<()> {
    let doing = format!("raise the number of instances of the service `{}`", wanted.name);
    let scaling = &wanted.document["template"]["scaling"];
    let change = json!({"template": {"scaling": scaling}});
    let path = format!("{path}?updateMask=template.scaling");
    match admin.call(Api::Run, Method::PATCH, &path, Some(&change), &doing).await {
        Ok(operation) => finish(admin, Api::Run, operation, &doing).await,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Waits until an operation is over.
pub(crate) async fn finish(admin: &Admin, api: Api, mut operation: Value, doing: &str) -> Result<()> {
    let (begun, mut pause) = (Instant::now(), LOOKS.0);
    while operation["done"] != true {
        let Some(name) = operation["name"].as_str().map(str::to_owned) else { return Ok(()) };
        if begun.elapsed() > READY {
            return Err(Error::new(
                ErrorKind::Timeout,
                format!("cannot {doing}: it is not over after {READY:?}"),
            )
            .with_hint("look at it in the console of Google"));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LOOKS.1);
        operation = admin.get(api, &name, doing).await?;
    }
    match operation["error"]["message"].as_str() {
        None => Ok(()),
        Some(words) => Err(failed(doing, words, &Value::Null)),
    }
}

/// Waits until a service can be invoked.
async fn ready(admin: &Admin, wanted: &Wanted, path: &str, mut found: Value) -> Result<Deployed> {
    let doing = format!("deploy the service `{}`", wanted.name);
    let (begun, mut pause) = (Instant::now(), LOOKS.0);
    loop {
        let condition = &found["terminalCondition"];
        match condition["state"].as_str() {
            Some("CONDITION_SUCCEEDED") => {
                if let Some(uri) = found["uri"].as_str() {
                    return Ok(Deployed {
                        name: wanted.name.clone(),
                        uri: uri.trim_end_matches('/').to_owned(),
                    });
                }
            }
            Some("CONDITION_FAILED") => {
                let words = condition["message"].as_str().unwrap_or("no reason is given");
                return Err(failed(&doing, words, &found));
            }
            _ => {}
        }
        if begun.elapsed() > READY {
            return Err(Error::new(
                ErrorKind::Timeout,
                format!("cannot {doing}: it is not ready after {READY:?}"),
            )
            .with_hint("look at the service in the console of Cloud Run"));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LOOKS.1);
        found = admin.get(Api::Run, path, &doing).await?;
    }
}

/// Why a service is not ready, in Cloud Run's words, and what may be done.
fn failed(doing: &str, words: &str, service: &Value) -> Error {
    let hint = if words.contains("not found") || words.contains("Image") {
        "may Cloud Run read the image? its service agent needs `roles/artifactregistry.reader` on the repository"
    } else if words.contains("PORT") || words.contains("listen") {
        "the container did not listen: was the program built with the feature `gcp_cloudrun`, and does it call `lithops::init()`?"
    } else if words.to_lowercase().contains("quota") {
        "lower `max_workers`, `runtime_cpu` or `runtime_memory`, or ask Google for a higher quota"
    } else {
        "look at the logs of the revision in the console of Cloud Run"
    };
    let error = Error::new(ErrorKind::InvalidInput, format!("cannot {doing}: {words}")).with_hint(hint);
    match service["terminalCondition"]["logUri"].as_str().or(service["logUri"].as_str()) {
        Some(logs) => error.with_context("logs", logs.to_owned()),
        None => error,
    }
}

/// Why no instance of a service will come, in Cloud Run's words; `None` while one may come.
pub(crate) async fn why_none_comes(admin: &Admin, name: &str) -> Option<String> {
    let path = format!("{}/services/{name}", admin.location());
    let found = admin.get(Api::Run, &path, "look at the service").await.ok()?;
    let condition = &found["terminalCondition"];
    (condition["state"] == "CONDITION_FAILED").then(|| {
        let words = condition["message"].as_str().unwrap_or("the service is not ready");
        format!("the service `{name}` has no instances: {words}")
    })
}

/// All services of lithops, as runtimes.
pub(crate) async fn list(admin: &Admin) -> Result<Vec<Runtime>> {
    let runtime = |(name, service): (String, Value)| {
        let memory = &service["template"]["containers"][0]["resources"]["limits"]["memory"];
        let memory = memory.as_str().and_then(|memory| memory.strip_suffix("Mi")?.parse().ok());
        Runtime { id: RuntimeId(name), memory }
    };
    Ok(all(admin).await?.into_iter().map(runtime).collect())
}

/// All services of lithops, by their names.
pub(crate) async fn all(admin: &Admin) -> Result<BTreeMap<String, Value>> {
    let mut found = BTreeMap::new();
    let mut next = String::new();
    loop {
        let path = format!("{}/services?pageSize=100{next}", admin.location());
        let page = admin.get(Api::Run, &path, "list the services").await?;
        for service in page["services"].as_array().into_iter().flatten() {
            let name = service["name"].as_str().and_then(|name| name.rsplit('/').next()).unwrap_or_default();
            if name.starts_with(FAMILY) && service["annotations"][DIGEST].is_string() {
                found.insert(name.to_owned(), service.clone());
            }
        }
        match page["nextPageToken"].as_str().filter(|token| !token.is_empty()) {
            Some(token) => next = format!("&pageToken={token}"),
            None => return Ok(found),
        }
    }
}

/// Removes a service.
pub(crate) async fn delete(admin: &Admin, name: &str) -> Result<()> {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !name.starts_with(FAMILY) || !name.bytes().all(is_name) {
        let problem = format!("`{}` is no service of lithops", name.escape_debug());
        return Err(Error::new(ErrorKind::InvalidInput, problem)
            .with_hint("`lithops runtime list` says which are there"));
    }
    let doing = format!("delete the service `{name}`");
    let path = format!("{}/services/{name}", admin.location());
    let operation = admin.call(Api::Run, Method::DELETE, &path, None, &doing).await?;
    finish(admin, Api::Run, operation, &doing).await
}
