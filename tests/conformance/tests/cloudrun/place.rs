//! [`Place`]: a fake of Cloud Run, and executors on it.

use std::path::PathBuf;

use lithops_core::executor::FunctionExecutor;
use lithops_fake_cloudrun::{FakeCloudRun, Settings};

use super::functions::stays;

/// Runs a call that never ends, under a configuration in whose folder it leaves its process.
pub(crate) async fn stay(yaml: &str) {
    let folder = PathBuf::from(yaml).with_extension("files");
    let text = std::fs::read_to_string(yaml).expect("a configuration");
    let builder = FunctionExecutor::builder().config_yaml(text);
    let fexec = builder.progress(false).build().await.expect("an executor");
    fexec.map(stays, [folder]).await.expect("a job").get_result().await.expect("it never ends");
}

/// A Cloud Run of its own, with a folder for the storage and for what calls leave.
pub(crate) struct Place {
    pub(crate) fake: FakeCloudRun,
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) async fn start(name: &str, settings: Settings) -> Self {
        let folder = tempfile::Builder::new().prefix(name).tempdir().expect("a folder");
        let fake = FakeCloudRun::start(settings).await.expect("a fake");
        std::fs::write(folder.path().join("key.json"), fake.key_file().expect("a key")).expect("a file");
        Self { fake, folder }
    }

    /// A folder where calls leave files.
    pub(crate) fn files(&self, name: &str) -> PathBuf {
        let files = self.folder.path().join(name);
        std::fs::create_dir_all(&files).expect("a folder");
        files
    }

    /// The configuration that leads to the fake. Its instances are of this machine, and open its files.
    pub(crate) fn yaml(&self, wish: &str) -> String {
        let (endpoint, folder) = (self.fake.endpoint(), self.folder.path().display());
        format!(
            "lithops: {{backend: gcp_cloudrun, storage: localhost, history: false}}\n\
             gcp_cloudrun: {{region: us-east1, endpoint: '{endpoint}', \
             credentials_path: '{folder}/key.json', capabilities: {{storages: [localhost]}}{wish}}}\n\
             localhost: {{storage_root: '{folder}/storage'}}\n"
        )
    }

    /// An executor.
    pub(crate) async fn executor(&self, wish: &str) -> FunctionExecutor {
        let builder = FunctionExecutor::builder().config_yaml(self.yaml(wish));
        builder.progress(false).ctrl_c(false).build().await.expect("an executor")
    }
}
