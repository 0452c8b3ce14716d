//! [`Unpacked`]: the files of an image in a folder.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// The files of an image in a folder, and its configuration.
pub(crate) struct Unpacked {
    folder: tempfile::TempDir,
    pub(crate) config: Value,
    /// All paths in the layers.
    pub(crate) paths: BTreeSet<String>,
}

impl Unpacked {
    /// Unpacks the layers of the only image in an OCI layout.
    pub(crate) fn of_layout(layout: &Path) -> Self {
        let json = |path: PathBuf| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
        let blob = |descriptor: &Value| {
            layout.join("blobs").join(descriptor["digest"].as_str().unwrap().replace(':', "/"))
        };
        let index = json(layout.join("index.json"));
        assert_eq!(index["manifests"].as_array().unwrap().len(), 1, "{index}");
        let manifest = json(blob(&index["manifests"][0]));
        let folder = tempfile::tempdir().unwrap();
        // The image's user goes through it.
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut paths = BTreeSet::new();
        for layer in manifest["layers"].as_array().unwrap() {
            let open = || flate2::read::GzDecoder::new(fs::File::open(blob(layer)).unwrap());
            for entry in tar::Archive::new(open()).entries().unwrap() {
                paths.insert(format!("/{}", entry.unwrap().path().unwrap().display()));
            }
            let mut archive = tar::Archive::new(open());
            archive.set_preserve_permissions(true);
            archive.unpack(folder.path()).unwrap();
        }
        Self { folder, config: json(blob(&manifest["config"])), paths }
    }

    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.folder.path().join(path.trim_start_matches('/'))).unwrap()
    }

    /// Runs the entrypoint with the folder as its root, with `/proc` as in containers and with nothing else of this machine: as
    /// root as the image's user, otherwise in a user namespace. Returns what it prints.
    pub(crate) fn run(&self) -> String {
        let proc = self.folder.path().join("proc");
        fs::create_dir_all(&proc).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--fork", "--pid", "--mount"]).arg(format!("--mount-proc={}", proc.display()));
        let is_root = rustix::process::geteuid().is_root();
        let user = format!("--userspec={0}:{0}", self.config["config"]["User"].as_str().unwrap());
        match is_root {
            true => command.args(["chroot", user.as_str()]),
            false => command.args(["--map-root-user", "chroot"]),
        };
        let entrypoint = self.config["config"]["Entrypoint"].as_array().unwrap();
        let entrypoint = entrypoint.iter().map(|part| part.as_str().unwrap());
        let arguments = self.config["config"]["Cmd"].as_array().into_iter().flatten();
        let output = command
            .arg(self.folder.path())
            .args(entrypoint)
            .args(arguments.map(|part| part.as_str().unwrap()))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}
