//! [`Machine`]: the processes of an instance: its user data, and its metadata service.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::sleep,
};

const PAUSE: Duration = Duration::from_millis(20);
/// How long processes may take to end when their instance does.
const GRACE: Duration = Duration::from_secs(5);
/// The commands that an instance has and this machine has not, or has in another form.
const SHIMS: &[(&str, &str)] = &[
    ("aws", include_str!("../shims/aws")),
    ("curl", include_str!("../shims/curl")),
    ("gzip", include_str!("../shims/gzip")),
    ("shutdown", include_str!("../shims/shutdown")),
    ("systemctl", include_str!("../shims/systemctl")),
    ("systemd-run", include_str!("../shims/systemd-run")),
];

/// What machines are made with.
#[derive(Debug)]
pub(crate) struct Tools {
    folder: PathBuf,
    metadata: PathBuf,
    curl: PathBuf,
}

impl Tools {
    /// Puts the commands into the folder.
    pub(crate) fn new(folder: PathBuf, metadata: PathBuf) -> std::io::Result<Self> {
        let shims = folder.join("shims");
        fs::create_dir_all(&shims)?;
        for (name, text) in SHIMS {
            let path = shims.join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        let folder = folder.canonicalize()?;
        let curl = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .map(|folder| folder.join("curl"))
            .find(|path| path.is_file())
            .ok_or_else(|| std::io::Error::other("there is no `curl`: install the package `curl`"))?;
        Ok(Self { folder, metadata, curl })
    }

    /// The folder of an instance.
    fn folder_of(&self, id: &str) -> PathBuf {
        self.folder.join(id)
    }
}

/// The processes of an instance.
#[derive(Debug)]
pub(crate) struct Machine {
    id: String,
    folder: PathBuf,
    script: Child,
    metadata: Child,
    port: u16,
}

impl Machine {
    /// Boots an instance with its user data; `hands` is the address of this program.
    pub(crate) async fn boot(
        tools: &Tools,
        id: &str,
        user_data: &[u8],
        hands: &str,
        s3_refuses: Option<&str>,
    ) -> std::io::Result<Self> {
        let folder = tools.folder_of(id);
        fs::create_dir_all(folder.join("tmp"))?;
        let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
        let metadata = metadata(tools, &folder, id, port, false).await?;
        fs::write(folder.join("user-data"), user_data)?;
        let console = fs::File::create(folder.join("console"))?;
        let mut script = Command::new("bash");
        script.arg(folder.join("user-data")).current_dir(&folder).env_clear();
        script.env("PATH", format!("{}:/usr/bin:/bin", tools.folder.join("shims").display()));
        script.env("HOME", &folder).env("TMPDIR", folder.join("tmp"));
        script.env("LITHOPS_FOLDER", folder.join("opt"));
        script.env("HANDS", hands).env("HANDS_INSTANCE", id).env("HANDS_FOLDER", &folder);
        script.env("HANDS_UNPACKED", tools.folder.join("unpacked"));
        script.env("HANDS_IMDS", format!("http://127.0.0.1:{port}")).env("HANDS_CURL", &tools.curl);
        if let Some(action) = s3_refuses {
            script.env("HANDS_S3_REFUSES", action);
        }
        script.stdin(Stdio::null()).stdout(console.try_clone()?).stderr(console).process_group(0);
        let script = script.spawn()?;
        Ok(Self { id: id.to_owned(), folder, script, metadata, port })
    }

    /// What the instance has written to its console.
    pub(crate) fn console(&self) -> Vec<u8> {
        fs::read(self.folder.join("console")).unwrap_or_default()
    }

    /// Lets the metadata service say that the instance will be interrupted.
    pub(crate) async fn interrupt(&mut self, tools: &Tools) -> std::io::Result<()> {
        self.metadata.kill().await?;
        self.metadata = metadata(tools, &self.folder, &self.id, self.port, true).await?;
        Ok(())
    }

    /// Ends all processes, as a hypervisor does: first they are asked to.
    pub(crate) async fn end(mut self, at_once: bool) {
        let group = self.script.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let processes = || processes_of(&self.id);
        if !at_once {
            for pid in processes() {
                // It may have ended.
                let _ = kill_process(pid, Signal::TERM);
            }
            let begun = std::time::Instant::now();
            while !processes().is_empty() && begun.elapsed() < GRACE {
                sleep(PAUSE).await;
            }
        }
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        // A process may have started another one while the list was read.
        loop {
            let left = processes();
            if left.is_empty() {
                break;
            }
            for pid in left {
                let _ = kill_process(pid, Signal::KILL);
            }
            sleep(PAUSE).await;
        }
        let _ = self.script.wait().await;
        let _ = self.metadata.kill().await;
        // The program is large; the console is kept.
        let _ = fs::remove_dir_all(self.folder.join("opt"));
    }
}

/// The living processes that have the instance's name in their environment, which they get from its user data.
fn processes_of(id: &str) -> Vec<Pid> {
    let mark = format!("HANDS_INSTANCE={id}");
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw))
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        })
        .collect()
}

/// Starts AWS's own metadata service, which demands tokens, and waits until it answers.
async fn metadata(
    tools: &Tools,
    folder: &Path,
    id: &str,
    port: u16,
    is_interrupted: bool,
) -> std::io::Result<Child> {
    let values = json!({"metadata": {"values": {
        "instance-id": id,
        "iam-security-credentials": {
            "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z",
            "AccessKeyId": "ROLEOFTHEINSTANCE", "SecretAccessKey": "of-the-role", "Token": "of-the-role",
            "Expiration": "2050-01-01T00:00:00Z",
        },
    }}});
    let file = folder.join("metadata.json");
    fs::File::create(&file)?.write_all(values.to_string().as_bytes())?;
    let log = fs::File::create(folder.join("metadata.log"))?;
    let mut command = Command::new(&tools.metadata);
    command.args(["spot", "--action", "terminate", "-I", "-n", "127.0.0.1", "-p", &port.to_string()]);
    command.args(["-d", if is_interrupted { "0" } else { "864000" }]).arg("-c").arg(file);
    command.env("HOME", folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    let child = command.spawn()?;
    for _ in 0..500 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return Ok(child);
        }
        sleep(PAUSE).await;
    }
    Err(std::io::Error::other("the metadata service does not start"))
}
