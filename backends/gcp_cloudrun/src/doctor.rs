//! The checks of `lithops doctor`: credentials first, because without them nothing else can be asked.

use lithops_core::{
    artifact::Artifact,
    compute::{Check, ComputeBackend as _, Severity},
    error::Error,
};
use reqwest::Method;
use serde_json::json;

use crate::{
    GcpCloudRunBackend,
    admin::{Admin, Api},
    config::looks_secret,
    deploy,
    image::{self, Content, target},
    quota,
};

/// What who deploys and runs jobs must be allowed.
const PERMISSIONS: [&str; 9] = [
    "run.services.get",
    "run.services.create",
    "run.services.update",
    "run.services.delete",
    "run.services.list",
    "run.operations.get",
    "run.routes.invoke",
    "artifactregistry.repositories.get",
    "artifactregistry.repositories.uploadArtifacts",
];

/// All findings, good and bad.
pub(crate) async fn check(backend: &GcpCloudRunBackend) -> Vec<Check> {
    let mut found = vec![program(backend).await];
    found.extend(open_secrets(backend));
    let admin = match backend.admin().await {
        Ok(admin) => admin,
        Err(error) => {
            found.push(bad(&error));
            return found;
        }
    };
    found.push(fine(format!("the project is {}, the region is {}", admin.project, admin.region)));
    if let Err(error) = admin.tokens.access().await {
        found.push(bad(&error));
        return found;
    }
    found.push(fine(format!("requests are made as {}", admin.tokens.whose())));
    found.push(match deploy::list(admin).await {
        Ok(services) => fine(format!("{} services are deployed", services.len())),
        Err(error) => bad(&error),
    });
    found.push(repository(backend, admin).await);
    found.push(match admin.service_account(&backend.config).await {
        Ok(account) => fine(format!(
            "instances run as {account}, which must have `roles/storage.objectUser` on the bucket and nothing else; you need \
             `iam.serviceAccounts.actAs` on it"
        )),
        Err(error) => bad(&error),
    });
    found.push(permissions(admin).await);
    found.push(quota::check(admin, backend.capabilities(), backend.max_workers).await);
    // The audience does not matter for whether there can be a token.
    found.push(match admin.tokens.id("https://lithops.invalid", false).await {
        Ok(_) => fine("ID tokens can be made".to_owned()),
        Err(error) => bad(&error),
    });
    found.extend(storage(backend, admin));
    found
}

/// Checks the program that is deployed.
async fn program(backend: &GcpCloudRunBackend) -> Check {
    let path = match Content::of(&backend.config, &backend.program.path) {
        Content::Given(image) => {
            return fine(format!(
                "instances run the image `{image}`, and fetch the program from the storage"
            ));
        }
        Content::Program(path) | Content::Worker(path) => path,
    };
    match Artifact::read(&path, &target()).await {
        Ok(artifact) => {
            fine(format!("`{}` is what is deployed: {} KiB", path.display(), artifact.bytes.len() >> 10))
        }
        Err(error) => bad(&error),
    }
}

/// Variables whose names say that they are secrets: they are not.
fn open_secrets(backend: &GcpCloudRunBackend) -> Option<Check> {
    let names: Vec<_> = backend.config.env_vars.keys().filter(|name| looks_secret(name)).cloned().collect();
    (!names.is_empty()).then(|| Check {
        finding: format!(
            "`env_vars` has {}: everybody who may see the service sees their values",
            names.join(", ")
        ),
        severity: Severity::Warning,
        remedy: Some(
            "let the service account of the instances read the secret where it is kept, such as in Secret Manager"
                .to_owned(),
        ),
    })
}

async fn repository(backend: &GcpCloudRunBackend, admin: &Admin) -> Check {
    let name = image::named(admin, &backend.config);
    if backend.config.registry.server.is_some() {
        return fine(format!("images are pushed to `{name}`, which Cloud Run must be able to read"));
    }
    let path = format!("{}/repositories/{}", admin.location(), backend.config.registry.repository);
    match admin.get(Api::Registry, &path, "look at the repository of images").await {
        Ok(_) => fine(format!("images are pushed to `{name}`")),
        Err(error) if error.kind() == lithops_core::error::ErrorKind::NotFound => Check {
            finding: format!(
                "there is no repository `{}` in Artifact Registry: it is made by the first deployment",
                backend.config.registry.repository
            ),
            severity: Severity::Warning,
            remedy: Some("that needs `artifactregistry.repositories.create`".to_owned()),
        },
        Err(error) => bad(&error),
    }
}

async fn permissions(admin: &Admin) -> Check {
    let path = format!("projects/{}:testIamPermissions", admin.project);
    let body = json!({"permissions": PERMISSIONS});
    let asked = admin.call(Api::Projects, Method::POST, &path, Some(&body), "ask for the permissions").await;
    let has = match asked {
        Ok(has) => has,
        Err(error) => return bad(&error),
    };
    let has: Vec<_> =
        has["permissions"].as_array().into_iter().flatten().filter_map(|one| one.as_str()).collect();
    let missing: Vec<_> = PERMISSIONS.into_iter().filter(|permission| !has.contains(permission)).collect();
    match missing.is_empty() {
        true => fine("all permissions that are needed in the project are there".to_owned()),
        false => Check {
            finding: format!("permissions are missing in the project: {}", missing.join(", ")),
            // They may be given on the service or the repository alone.
            severity: Severity::Warning,
            remedy: Some(
                "`roles/run.developer`, `roles/run.invoker` and `roles/artifactregistry.writer` have them"
                    .to_owned(),
            ),
        },
    }
}

fn storage(backend: &GcpCloudRunBackend, admin: &Admin) -> Option<Check> {
    let (storage, locator) = backend.storage.as_ref()?;
    let region = locator.region.as_deref().filter(|region| *region != admin.region)?;
    Some(Check {
        finding: format!(
            "the bucket `{}` is in {region}, and instances are in {}",
            storage.bucket(),
            admin.region
        ),
        severity: Severity::Warning,
        remedy: Some("use a bucket of the same region: others are slower, and cost by the gigabyte".into()),
    })
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
