//! The control plane: functions come, change and go.

use std::{ops::Bound, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::ApiError;
use crate::{
    function::{Function, Package, Spec, UNPACKED_LIMIT, ZIPPED_LIMIT},
    names::{Named, arn},
    shared::{Shared, lock},
};

/// The most bytes of a request that brings a package.
pub(super) const CODE_LIMIT: usize = 69_905_067;
/// The most functions that are listed at once.
const PAGE: usize = 50;

pub(super) async fn create(shared: &Arc<Shared>, body: Value) -> Result<Value, ApiError> {
    let spec = Spec::new(&body)?;
    let named = Named::parse(body["FunctionName"].as_str().unwrap_or_default());
    if !named.is_valid() {
        return Err(ApiError::invalid_parameter(
            "the name of a function has 1 to 64 of a-z, A-Z, 0-9, - and _",
        ));
    }
    let arn = arn(&shared.settings.region, &named.name);
    let taken = || ApiError::conflict(format!("Function already exist: {}", named.name));
    if lock(&shared.functions).contains_key(&named.name) {
        return Err(taken());
    }
    let package = unpack(shared, &named.name, body["Code"].clone()).await?;
    let function = Arc::new(Function::new(named.name.clone(), arn, spec, package, shared.settings.pending));
    let mut functions = lock(&shared.functions);
    if functions.contains_key(&named.name) {
        return Err(taken());
    }
    functions.insert(named.name.clone(), Arc::clone(&function));
    shared.ledger.note(|counts| counts.creates += 1);
    Ok(function.configuration())
}

pub(super) async fn update_code(shared: &Arc<Shared>, named: &Named, body: Value) -> Result<Value, ApiError> {
    shared.function(named)?.settled()?;
    let package = unpack(shared, &named.name, body).await?;
    replace(shared, named, |old| Ok(old.with_package(package)))
}

pub(super) fn update_configuration(
    shared: &Arc<Shared>,
    named: &Named,
    body: &Value,
) -> Result<Value, ApiError> {
    replace(shared, named, |old| Ok(old.with_spec(old.spec.changed(body)?)))
}

pub(super) async fn delete(shared: &Arc<Shared>, named: &Named) -> Result<(), ApiError> {
    shared.function(named)?;
    lock(&shared.functions).remove(&named.name);
    shared.ledger.note(|counts| counts.deletes += 1);
    let (shared, name) = (Arc::clone(shared), named.name.clone());
    blocking(move || shared.pool.kill_function(&name)).await
}

pub(super) fn get(shared: &Shared, named: &Named) -> Result<Value, ApiError> {
    shared.ledger.note(|counts| counts.reads += 1);
    let function = shared.function(named)?;
    let location = format!("file://{}", function.package.root.display());
    let mut answer = json!({
        "Configuration": function.configuration(),
        "Code": { "RepositoryType": "S3", "Location": location },
    });
    if !function.spec.tags.is_empty() {
        answer["Tags"] = json!(function.spec.tags);
    }
    Ok(answer)
}

pub(super) fn get_configuration(shared: &Shared, named: &Named) -> Result<Value, ApiError> {
    shared.ledger.note(|counts| counts.reads += 1);
    Ok(shared.function(named)?.configuration())
}

pub(super) fn list(shared: &Shared, marker: Option<&str>, most: Option<&str>) -> Result<Value, ApiError> {
    shared.ledger.note(|counts| counts.lists += 1);
    let most = match most.map(str::parse::<usize>) {
        None => PAGE,
        Some(Ok(most @ 1..=10_000)) => most.min(PAGE),
        Some(_) => return Err(ApiError::invalid_parameter("MaxItems is from 1 to 10000")),
    };
    let from = match marker {
        None => Bound::Unbounded,
        Some(marker) => Bound::Excluded(unmark(marker)?),
    };
    let functions = lock(&shared.functions);
    let mut after = functions.range((from, Bound::Unbounded)).map(|(_, function)| function);
    let page: Vec<_> = after.by_ref().take(most).collect();
    let has_more = after.next().is_some();
    let marker = page.last().filter(|_| has_more).map(|last| BASE64_STANDARD.encode(&last.name));
    let page: Vec<_> = page.iter().map(|function| function.configuration()).collect();
    Ok(json!({ "Functions": page, "NextMarker": marker }))
}

pub(super) fn account_settings(shared: &Shared) -> Value {
    shared.ledger.note(|counts| counts.reads += 1);
    let functions = lock(&shared.functions);
    let size: u64 = functions.values().map(|function| function.package.size).sum();
    json!({
        "AccountLimit": {
            "TotalCodeSize": 80_530_636_800_u64,
            "CodeSizeUnzipped": UNPACKED_LIMIT,
            "CodeSizeZipped": ZIPPED_LIMIT,
            "ConcurrentExecutions": shared.settings.concurrency,
            "UnreservedConcurrentExecutions": shared.settings.concurrency,
        },
        "AccountUsage": { "TotalCodeSize": size, "FunctionCount": functions.len() },
    })
}

/// Puts a changed function in the place of the one that was there, whose environments go.
fn replace(
    shared: &Arc<Shared>,
    named: &Named,
    change: impl FnOnce(&Function) -> Result<Function, ApiError>,
) -> Result<Value, ApiError> {
    let old = shared.function(named)?;
    old.settled()?;
    let new = Arc::new(change(&old)?);
    {
        let mut functions = lock(&shared.functions);
        let is_same = functions.get(&named.name).is_some_and(|now| Arc::ptr_eq(now, &old));
        if !is_same {
            return Err(ApiError::conflict(format!("An update is in progress for resource: {}", old.arn)));
        }
        functions.insert(named.name.clone(), Arc::clone(&new));
    }
    shared.ledger.note(|counts| counts.updates += 1);
    let shared = Arc::clone(shared);
    // The client need not wait until they are gone: what it invokes now goes to new ones.
    tokio::task::spawn_blocking(move || shared.pool.retire(&old, &shared.ledger));
    Ok(new.configuration())
}

async fn unpack(shared: &Arc<Shared>, name: &str, code: Value) -> Result<Package, ApiError> {
    if ["S3Bucket", "S3Key", "ImageUri"].iter().any(|key| !code[*key].is_null()) {
        return Err(ApiError::invalid_parameter("this fake has no storage; packages come as ZipFile"));
    }
    let zip = code["ZipFile"]
        .as_str()
        .ok_or_else(|| ApiError::invalid_parameter("Please provide a source for function code."))?;
    let zip = BASE64_STANDARD.decode(zip);
    let zip = zip.map_err(|_| ApiError::invalid_content("ZipFile is not base64"))?;
    let folder = shared.folder.join("functions").join(name).join(uuid::Uuid::new_v4().to_string());
    blocking(move || Package::unpack(&zip, &folder)).await?
}

/// Does what takes a while where nothing else waits for it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ApiError::service(error.to_string()))
}

fn unmark(marker: &str) -> Result<String, ApiError> {
    let name = BASE64_STANDARD.decode(marker).ok().and_then(|name| String::from_utf8(name).ok());
    name.ok_or_else(|| ApiError::invalid_parameter("Marker is none that this service has given"))
}
