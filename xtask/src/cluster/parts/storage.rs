//! SeaweedFS, the S3 that clients and pods share.

use std::{fs, path::Path};

use super::Parts;
use crate::cluster::{
    folder::Folder,
    network::{SERVER, server},
    system::request,
};

/// The configuration of Lithops for the bucket.
pub(in crate::cluster) const CONFIG: &str = "config.yaml";

const BUCKET: &str = "lithops-e2e";
const ID: &str = "CLUSTERID0123456789";
const SECRET: &str = "cluster-secret-93d1c6e8";

/// The ports of the server. It adds a second one for each, this much further up.
#[derive(Debug)]
struct Ports {
    s3: u16,
    master: u16,
    volume: u16,
    filer: u16,
}
const SECOND: u16 = 10_000;

impl Ports {
    /// All parts of the server talk to each other by sockets in `/tmp`, which are named by port: so each cluster has
    /// ports of its own, although it also has a network of its own.
    fn of(folder: &Folder) -> Self {
        let first = 6_000 + 4 * folder.number(1_400);
        Self { s3: first, master: first + 1, volume: first + 2, filer: first + 3 }
    }
}

/// Removes the sockets in `/tmp`. The server has ended.
pub(in crate::cluster) fn remove_sockets(folder: &Folder) {
    let Ports { s3, master, volume, filer } = Ports::of(folder);
    for port in [s3, master, volume, filer] {
        for part in ["s3", "master", "volume", "filer"] {
            // Most of these names are of no socket.
            let _ = fs::remove_file(format!("/tmp/seaweedfs-{part}-grpc-{}.sock", port + SECOND));
            let _ = fs::remove_file(format!("/tmp/seaweedfs-{part}-{port}.sock"));
        }
    }
}

/// Starts the server, and writes the configuration that leads to it. `weed` takes the longest of all parts to be ready.
pub(in crate::cluster) fn start_storage(parts: &Parts, weed: &Path) -> Result<(), String> {
    let identities = serde_json::json!({"identities": [{
        "name": "e2e",
        "credentials": [{"accessKey": ID, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }]});
    let identities = parts.folder.write("seaweedfs.json", &identities.to_string())?;
    parts.folder.write(CONFIG, &config(&parts.folder))?;
    let Ports { s3, master, volume, filer } = Ports::of(&parts.folder);
    let data = parts.folder.join("seaweedfs");
    fs::create_dir_all(&data).map_err(|error| format!("cannot make `{}`: {error}", data.display()))?;
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
            format!("-s3.port={s3}"),
            format!("-master.port={master}"),
            format!("-volume.port={volume}"),
            format!("-filer.port={filer}"),
        ],
    )?;
    Ok(())
}

/// Waits until there is a bucket that takes objects.
pub(in crate::cluster) fn wait_for_storage(parts: &Parts) -> Result<(), String> {
    let Ports { s3, filer, .. } = Ports::of(&parts.folder);
    let (s3, filer) = (server(s3), server(filer));
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

fn config(folder: &Folder) -> String {
    let port = Ports::of(folder).s3;
    format!(
        "lithops: {{storage: minio}}\nminio:\n  endpoint: http://{SERVER}:{port}\n  storage_bucket: {BUCKET}\n  access_key_id: {ID}\n  secret_access_key: {SECRET}\n"
    )
}
