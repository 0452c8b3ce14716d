//! containerd, with its files in a temporary folder, pulls and runs what was pushed. This needs root.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use lithops_image::ImageBuilder;
use rustix::process::{Pid, Signal, kill_process};

use crate::{Program, push, server::Server};

struct Containerd {
    child: Child,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Containerd {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let settings = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n",
            at("root"),
            at("state"),
            at("socket")
        );
        std::fs::write(at("settings.toml"), settings).unwrap();
        let mut child = Command::new("containerd")
            .arg("--config")
            .arg(at("settings.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`containerd` is installed: `apt-get install containerd`");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        loop {
            let Some(Ok(line)) = lines.next() else { panic!("containerd has ended:\n{said}") };
            if line.contains("successfully booted") {
                break;
            }
            said += &line;
            said += "\n";
        }
        // It would be stopped by a pipe that is full.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, socket: at("socket"), _folder: folder }
    }

    fn ctr(&self, arguments: &[&str]) -> String {
        let output = Command::new("ctr").arg("--address").arg(&self.socket).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn run(&self, image: &str, container: &str) -> String {
        // Without a file system of overlays it runs in a container too.
        self.ctr(&["run", "--rm", "--snapshotter", "native", image, container])
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // It unmounts what it has mounted before it ends.
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn containerd_pulls_and_runs_what_we_push() {
    let (server, containerd) = (Server::start(), Containerd::start());
    let own = ImageBuilder::new(std::env::current_exe().unwrap()).arg("--list").build().await.unwrap();
    let names = [server.name("app:1"), server.name("own:1")];
    push(&Program::compile("hello").image().await, &names[0]).await;
    push(&own, &names[1]).await;
    for name in &names {
        containerd.ctr(&["images", "pull", "--plain-http", "--snapshotter", "native", name]);
    }
    let container = |number: u32| format!("lithops-test-{}-{number}", std::process::id());
    assert_eq!(containerd.run(&names[0], &container(0)), "42 hello\n");
    assert!(containerd.run(&names[1], &container(1)).contains("containerd_pulls_and_runs"));
}

#[tokio::test]
async fn containerd_imports_the_file_that_we_write() {
    let containerd = Containerd::start();
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("image.tar");
    let image = Program::compile("file").image().await;
    image.write(&crate::Output::Archive(archive.clone()), "r.test/app:1").await.unwrap();
    containerd.ctr(&["images", "import", "--snapshotter", "native", &archive.display().to_string()]);
    let container = format!("lithops-test-{}-file", std::process::id());
    assert_eq!(containerd.run("r.test/app:1", &container), "42 file\n");
}
