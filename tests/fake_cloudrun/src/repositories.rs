//! Artifact Registry: which repositories of images there are. One that is made takes images only once its operation is over.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use hyper::{Method, Response};
use serde_json::json;

use crate::answer::{Body, error, json};

/// How often an operation is looked at until it is over.
const LOOKS: u32 = 2;

/// The repositories, and how often those that are being made are yet to be looked at.
#[derive(Debug, Default)]
pub(crate) struct Repositories(Mutex<HashMap<String, u32>>);

impl Repositories {
    /// Answers a request of Artifact Registry, if it is one; says whether something was changed.
    pub(crate) fn answer(&self, method: &Method, path: &str, query: &str) -> Option<(Response<Body>, bool)> {
        let parts: Vec<&str> = path.strip_prefix("/v1/")?.split('/').collect();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = || (error(404, "NOT_FOUND", "Requested entity was not found."), false);
        match (method, parts.as_slice()) {
            (&Method::POST, ["projects", project, "locations", _, "repositories"]) => {
                let name = query.split('&').find_map(|pair| pair.strip_prefix("repositoryId="))?;
                let name = format!("{project}/{name}");
                if all.contains_key(&name) {
                    return Some((error(409, "ALREADY_EXISTS", "the repository already exists"), false));
                }
                let operation = format!("{}/operations/{}", parts[..4].join("/"), name.replace('/', "."));
                all.insert(name, LOOKS);
                Some((json(200, &json!({"name": operation, "metadata": {}})), true))
            }
            (&Method::GET, ["projects", project, "locations", _, "repositories", name]) => {
                let is_there = all.get(&format!("{project}/{name}")) == Some(&0);
                Some(if is_there {
                    (json(200, &json!({"name": parts.join("/"), "format": "DOCKER"})), false)
                } else {
                    missing()
                })
            }
            (&Method::GET, ["projects", _, "locations", _, "operations", id]) => {
                let Some(looks) = all.get_mut(&id.replace('.', "/")) else { return Some(missing()) };
                *looks = looks.saturating_sub(1);
                let done = *looks == 0;
                let mut operation = json!({"name": parts.join("/"), "metadata": {}});
                if done {
                    operation["done"] = json!(true);
                    operation["response"] = json!({"format": "DOCKER"});
                }
                Some((json(200, &operation), false))
            }
            _ => None,
        }
    }

    /// Whether images can be pushed under a name.
    pub(crate) fn takes(&self, name: &str) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().any(|(repository, looks)| {
            *looks == 0 && name.strip_prefix(repository.as_str()).is_some_and(|rest| rest.starts_with('/'))
        })
    }
}
