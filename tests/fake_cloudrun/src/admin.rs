//! The Admin API, version 2: services and operations.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{Method, Response};
use serde_json::{Value, json};

use crate::{
    answer::{Body, error, json},
    cloud_run::{Service, Shared},
    router::{Router, Spec},
};

/// The longest name of a service.
const LONGEST_NAME: usize = 49;

/// Answers a request; says whether something was changed.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    method: &Method,
    path: &str,
    query: &str,
    body: &Bytes,
) -> (Response<Body>, bool) {
    let body: Value = match body.is_empty() {
        true => Value::Null,
        false => match serde_json::from_slice(body) {
            Ok(body) => body,
            Err(_) => return (error(400, "INVALID_ARGUMENT", "Invalid JSON payload received."), false),
        },
    };
    if path.ends_with(":testIamPermissions") {
        return (json(200, &json!({"permissions": body["permissions"]})), false);
    }
    if let Some((_, metric)) = path.split_once("/services/run.googleapis.com/consumerQuotaMetrics/") {
        return (quota(metric), false);
    }
    let parts: Vec<&str> = path.trim_start_matches("/v2/").split('/').collect();
    let value = |name: &str| {
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
    };
    match (method, parts.as_slice()) {
        (&Method::GET, ["projects", _, "locations", _, "operations", _]) => {
            let operations = shared.operations.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match operations.get(&parts.join("/")) {
                Some(operation) => (json(200, operation), false),
                None => (not_found("Operation"), false),
            }
        }
        (&Method::POST, ["projects", _, "locations", _, "services"]) => {
            create(shared, &parts.join("/"), value("serviceId").as_deref(), body).await
        }
        (&Method::GET, ["projects", _, "locations", _, "services"]) => {
            let services = shared.services.lock().await;
            let all: Vec<_> = services.values().map(|service| &service.document).collect();
            (json(200, &json!({"services": all})), false)
        }
        (&Method::GET, ["projects", _, "locations", _, "services", name]) => {
            match shared.services.lock().await.get(*name) {
                Some(service) => (json(200, &service.document), false),
                None => (not_found("Service"), false),
            }
        }
        (&Method::PATCH, ["projects", _, "locations", _, "services", name]) => {
            patch(shared, name, &body).await
        }
        (&Method::DELETE, ["projects", _, "locations", _, "services", name]) => {
            match shared.services.lock().await.remove(*name) {
                Some(service) => {
                    let operation = operation(shared, service.document);
                    if let Some(router) = service.router {
                        router.close();
                        shared.deleted.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(router);
                    }
                    (json(200, &operation), true)
                }
                None => (not_found("Service"), false),
            }
        }
        _ => (error(404, "NOT_FOUND", "no matching route"), false),
    }
}

/// What Service Usage says of a metric: room for 150 vCPUs in one region, and for less in others.
fn quota(metric: &str) -> Response<Body> {
    let limits = match metric {
        "run.googleapis.com%2Fcpu_allocation" => ["20000", "150000"],
        "run.googleapis.com%2Fmem_allocation" => ["42949672960", "2147483648000"],
        _ => return not_found("Quota metric"),
    };
    let buckets = json!([
        {"effectiveLimit": limits[0], "defaultLimit": limits[0]},
        {"effectiveLimit": limits[1], "defaultLimit": limits[0], "dimensions": {"region": "us-east1"}},
    ]);
    let metric = metric.replace("%2F", "/");
    let limit = json!({"metric": metric, "unit": "1/{project}/{region}", "quotaBuckets": buckets});
    json(200, &json!({"metric": metric, "consumerQuotaLimits": [limit]}))
}

fn not_found(what: &str) -> Response<Body> {
    error(404, "NOT_FOUND", &format!("{what} was not found."))
}

/// An operation that is under way when it is answered, and over when it is looked at.
fn operation(shared: &Shared, service: Value) -> Value {
    let place =
        service["name"].as_str().and_then(|name| name.split_once("/services/")).map(|(place, _)| place);
    let name = format!("{}/operations/{}", place.unwrap_or_default(), uuid::Uuid::new_v4());
    let of_type = |mut service: Value| {
        service["@type"] = json!("type.googleapis.com/google.cloud.run.v2.Service");
        service
    };
    let done = json!({"name": name, "done": true, "metadata": of_type(service.clone()), "response": of_type(service.clone())});
    shared.operations.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(name.clone(), done);
    json!({"name": name, "done": false, "metadata": of_type(service)})
}

async fn create(
    shared: &Arc<Shared>,
    parent: &str,
    id: Option<&str>,
    mut document: Value,
) -> (Response<Body>, bool) {
    let is_name = |name: &str| {
        name.len() <= LONGEST_NAME
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let Some(id) = id.filter(|id| is_name(id)) else {
        return (error(400, "INVALID_ARGUMENT", "service_id: invalid resource name"), false);
    };
    if let Err(problem) = check(&document) {
        return (error(400, "INVALID_ARGUMENT", &problem), false);
    }
    let mut services = shared.services.lock().await;
    if services.contains_key(id) {
        return (error(409, "ALREADY_EXISTS", &format!("Resource '{id}' already exists.")), false);
    }
    document["name"] = json!(format!("{parent}/{id}"));
    document["uid"] = json!(uuid::Uuid::new_v4().to_string());
    document["generation"] = json!("1");
    document["createTime"] = json!("2026-11-30T00:00:00.000000Z");
    document["etag"] = json!("\"1\"");
    let router = match route(shared, id, &document).await {
        Ok(router) => {
            document["uri"] = json!(router.uri);
            document["terminalCondition"] = json!({"type": "Ready", "state": "CONDITION_SUCCEEDED"});
            document["latestReadyRevision"] = json!(format!("{parent}/{id}/revisions/{id}-00001"));
            Some(router)
        }
        Err(problem) => {
            document["terminalCondition"] =
                json!({"type": "Ready", "state": "CONDITION_FAILED", "message": problem.to_string()});
            None
        }
    };
    services.insert(id.to_owned(), Service { document: document.clone(), router });
    (json(200, &operation(shared, document)), true)
}

async fn route(shared: &Arc<Shared>, id: &str, document: &Value) -> std::io::Result<Router> {
    let template = &document["template"];
    let container = &template["containers"][0];
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|one| Some(one.as_str()?.to_owned())).collect()
    };
    let name = container["image"].as_str().unwrap_or_default();
    let unpacked = shared.images.unpack(name)?;
    let pair = |one: &Value| Some((one["name"].as_str()?.to_owned(), one["value"].as_str()?.to_owned()));
    let mut variables: Vec<_> = container["env"].as_array().into_iter().flatten().filter_map(pair).collect();
    variables.extend([
        ("GCE_METADATA_HOST".to_owned(), shared.address.to_string()),
        ("K_SERVICE".to_owned(), id.to_owned()),
        ("K_REVISION".to_owned(), format!("{id}-00001")),
        ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
    ]);
    let log = shared.folder.path().join(id);
    std::fs::create_dir_all(&log)?;
    let spec = Spec {
        image: unpacked,
        arguments: texts(&container["args"]),
        variables,
        timeout: Duration::from_secs(seconds(&template["timeout"]).unwrap_or(300)),
        log,
    };
    let most = template["scaling"]["maxInstanceCount"].as_u64().unwrap_or(100);
    Router::start(Arc::clone(shared), spec, usize::try_from(most).unwrap_or(100)).await
}

fn seconds(text: &Value) -> Option<u64> {
    text.as_str()?.strip_suffix('s')?.parse().ok()
}

/// What Cloud Run would refuse.
fn check(document: &Value) -> Result<(), String> {
    let template = &document["template"];
    let [container] = template["containers"].as_array().map(Vec::as_slice).unwrap_or_default() else {
        return Err("template.containers: one container is needed".to_owned());
    };
    if container["image"].as_str().unwrap_or_default().is_empty() {
        return Err("template.containers[0].image: must not be empty".to_owned());
    }
    if !template["timeout"].is_null()
        && !seconds(&template["timeout"]).is_some_and(|time| (1..=3600).contains(&time))
    {
        return Err("template.timeout: must be between 1s and 3600s".to_owned());
    }
    let limits = &container["resources"]["limits"];
    let cpus = limits["cpu"].as_str();
    if cpus.is_some_and(|cpus| !["1", "2", "4", "6", "8", "1000m"].contains(&cpus)) {
        return Err("template.containers[0].resources.limits.cpu: invalid value".to_owned());
    }
    let reserved = ["PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION"];
    let names = container["env"].as_array().into_iter().flatten().filter_map(|one| one["name"].as_str());
    if let Some(name) = names.into_iter().find(|name| reserved.contains(name)) {
        return Err(format!(
            "template.containers[0].env: The following reserved env names were provided: {name}"
        ));
    }
    Ok(())
}

async fn patch(shared: &Arc<Shared>, name: &str, change: &Value) -> (Response<Body>, bool) {
    let mut services = shared.services.lock().await;
    let Some(service) = services.get_mut(name) else { return (not_found("Service"), false) };
    merge(&mut service.document, change);
    let most = service.document["template"]["scaling"]["maxInstanceCount"].as_u64();
    if let (Some(router), Some(most)) = (&service.router, most) {
        router.raise(usize::try_from(most).unwrap_or(usize::MAX));
    }
    service.document["generation"] = json!("2");
    let document = service.document.clone();
    (json(200, &operation(shared, document)), true)
}

fn merge(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change.clone(),
    }
}
