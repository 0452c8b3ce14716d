//! SeaweedFS, the S3 that clients and pods share.

use std::path::Path;

use super::Parts;
use crate::cluster::{
    network::{FILER, S3, SERVER, server},
    system::request,
};

/// The configuration of Lithops for the bucket.
pub(in crate::cluster) const CONFIG: &str = "config.yaml";

const BUCKET: &str = "lithops-e2e";
const ID: &str = "CLUSTERID0123456789";
const SECRET: &str = "cluster-secret-93d1c6e8";

/// Starts the server, and writes the configuration that leads to it. `weed` takes the longest of all parts to be ready.
pub(in crate::cluster) fn start_storage(parts: &Parts, weed: &Path) -> Result<(), String> {
    let identities = serde_json::json!({"identities": [{
        "name": "e2e",
        "credentials": [{"accessKey": ID, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }]});
    let identities = parts.folder.write("seaweedfs.json", &identities.to_string())?;
    parts.folder.write(CONFIG, &config())?;
    let data = parts.folder.join("seaweedfs");
    std::fs::create_dir_all(&data).map_err(|error| format!("cannot make `{}`: {error}", data.display()))?;
    parts.spawn(
        "seaweedfs",
        weed,
        [
            "-logtostderr".to_owned(),
            "server".to_owned(),
            "-s3".to_owned(),
            format!("-ip={SERVER}"),
            format!("-ip.bind={SERVER}"),
            "-master.telemetry=false".to_owned(),
            // There is one server to elect.
            "-master.electionTimeout=1s".to_owned(),
            "-master.volumeSizeLimitMB=64".to_owned(),
            "-volume.minFreeSpace=50MiB".to_owned(),
            "-volume.max=200".to_owned(),
            format!("-dir={}", data.display()),
            format!("-s3.config={}", identities.display()),
            format!("-s3.port={S3}"),
            format!("-filer.port={FILER}"),
        ],
    )?;
    Ok(())
}

/// Waits until there is a bucket that takes objects.
pub(in crate::cluster) fn wait_for_storage(parts: &Parts) -> Result<(), String> {
    let (s3, filer) = (server(S3), server(FILER));
    let first = format!("/buckets/{BUCKET}/first");
    // A folder of its filer is a bucket of its S3. It answers before there is a place for objects.
    parts.until("seaweedfs", || {
        let takes_objects = || {
            request(filer, "POST", &format!("/buckets/{BUCKET}/"), "")
                && request(filer, "PUT", &first, "first")
                && request(filer, "DELETE", &first, "")
                && request(s3, "GET", "/healthz", "")
        };
        parts.sandbox.within(takes_objects).unwrap_or(false)
    })
}

fn config() -> String {
    format!(
        "lithops: {{storage: minio}}\nminio:\n  endpoint: http://{SERVER}:{S3}\n  storage_bucket: {BUCKET}\n  access_key_id: {ID}\n  secret_access_key: {SECRET}\n"
    )
}
