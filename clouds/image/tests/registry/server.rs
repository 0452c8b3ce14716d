//! [`Server`]: Debian's `docker-registry` on loopback, with its files in a temporary folder.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

/// The user `ann` with the password `correct horse`.
const USERS: &str = "ann:$2b$04$uGLO.dd1SK/MPtxgixEBqeq1HH6wwLe.r8Na8TAspaFOQLVFB6FFi\n";

/// A registry, which ends with this value.
pub(crate) struct Server {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts a registry that asks for no login.
    pub(crate) fn start() -> Self {
        Self::run("")
    }

    /// Starts a registry that only the user `ann` may use.
    pub(crate) fn start_with_login() -> Self {
        Self::run("auth: {htpasswd: {realm: test, path: FOLDER/users}}\n")
    }

    /// The name of an image in this registry.
    pub(crate) fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// Stores an index that has this image for this machine.
    pub(crate) async fn put_index(&self, repository: &str, tag: &str, digest: &str) {
        let inspected = crate::skopeo::raw(&format!("docker://{}@sha256:{digest}", self.name(repository)));
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let kind = "application/vnd.oci.image.index.v1+json";
        let index = serde_json::json!({
            "schemaVersion": 2, "mediaType": kind,
            "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": format!("sha256:{digest}"), "size": inspected.len(),
                "platform": { "architecture": architecture, "os": "linux" },
            }],
        });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let put = client.put(format!("http://{}/v2/{repository}/manifests/{tag}", self.address));
        let answer = put.header("content-type", kind).body(index.to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    fn run(auth: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shown = folder.path().display().to_string();
        let settings = format!(
            "version: 0.1\nlog: {{level: info}}\nhttp: {{addr: '127.0.0.1:0', secret: test}}\n\
             storage: {{filesystem: {{rootdirectory: FOLDER/data}}, delete: {{enabled: true}}}}\n{auth}"
        );
        std::fs::write(folder.path().join("settings.yml"), settings.replace("FOLDER", &shown)).unwrap();
        std::fs::write(folder.path().join("users"), USERS).unwrap();
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(folder.path().join("settings.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`docker-registry` is installed: `apt-get install docker-registry`");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else { panic!("the registry has ended:\n{said}") };
            if let Some((_, rest)) = line.split_once("listening on ") {
                let end = rest.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit());
                break rest[..end.unwrap_or(rest.len())].to_owned();
            }
            said += &line;
            said += "\n";
        };
        // It would be stopped by a pipe that is full.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, _folder: folder }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Where it has ended by itself there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
