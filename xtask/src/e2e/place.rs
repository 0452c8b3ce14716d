//! [`Place`]: a namespace of the cluster, with a user who has the documented rights there and nothing else.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{cluster::Cluster, workspace::root};

/// The namespace that jobs run in. It enforces the restricted profile of pod security.
pub(in crate::e2e) const NAMESPACE: &str = "batch";
/// How long something may take that the cluster is to do.
pub(in crate::e2e) const PATIENCE: Duration = Duration::from_secs(240);
const PAUSE: Duration = Duration::from_millis(100);

/// A backend that runs on a cluster.
#[derive(Debug)]
pub(in crate::e2e) struct Kind {
    pub(in crate::e2e) scheme: &'static str,
    /// The Role of the documentation.
    pub(in crate::e2e) role: &'static str,
    /// The label of the backend's objects.
    pub(in crate::e2e) label: &'static str,
    /// The kind of the objects that it makes, and that have the others.
    pub(in crate::e2e) makes: &'static str,
    /// Whether its pods take long to end.
    pub(in crate::e2e) ends_slowly: bool,
    /// The keys of its section, unless a trial has others.
    pub(in crate::e2e) keys: &'static [(&'static str, &'static str)],
}

/// A namespace of the cluster, and the configuration by which programs run their jobs there.
pub(in crate::e2e) struct Place<'a> {
    kind: &'static Kind,
    pub(in crate::e2e) cluster: &'a Cluster,
    /// The folder of the built programs.
    pub(in crate::e2e) built: PathBuf,
    pub(in crate::e2e) folder: PathBuf,
    kubeconfig: PathBuf,
    storage: String,
}

impl<'a> Place<'a> {
    /// Makes the namespace, and a user whose token is bound to the Role of the documentation.
    pub(in crate::e2e) fn new(
        kind: &'static Kind,
        cluster: &'a Cluster,
        built: PathBuf,
    ) -> Result<Self, String> {
        let folder = built.join("e2e").join(format!("{}-{}", kind.scheme, std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let storage = fs::read_to_string(cluster.s3_config()).map_err(|error| error.to_string())?;
        let kubeconfig = folder.join("kubeconfig");
        let place = Self { kind, cluster, built, folder, kubeconfig, storage };
        place.make()?;
        Ok(place)
    }

    /// The same namespace and user, with another folder: for trials that run at once.
    pub(in crate::e2e) fn beside(&self, name: &str) -> Result<Self, String> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let (kubeconfig, storage) = (self.kubeconfig.clone(), self.storage.clone());
        Ok(Self {
            kind: self.kind,
            cluster: self.cluster,
            built: self.built.clone(),
            folder,
            kubeconfig,
            storage,
        })
    }

    fn make(&self) -> Result<(), String> {
        // A cluster that ran already may have it.
        let _ =
            self.cluster.kubectl(["delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=60s"]);
        self.cluster.kubectl(["create", "namespace", NAMESPACE])?;
        let restricted = "pod-security.kubernetes.io/enforce=restricted";
        self.cluster.kubectl(["label", "namespace", NAMESPACE, restricted])?;
        self.apply_role()?;
        self.kubectl(&["create", "serviceaccount", "client"])?;
        let account = format!("--serviceaccount={NAMESPACE}:client");
        self.kubectl(&["create", "rolebinding", "client", &format!("--role={}", self.kind.role), &account])?;
        let token = self.kubectl(&["create", "token", "client", "--duration=8h"])?;
        // The administrator's configuration, with another user.
        let admin = self.cluster.kubectl(["config", "view", "--raw", "--minify", "-o", "json"])?;
        let mut config: Value = serde_json::from_str(&admin).map_err(|error| error.to_string())?;
        let user = config["users"][0]["name"].clone();
        config["users"] = serde_json::json!([{"name": user, "user": {"token": token.trim()}}]);
        fs::write(&self.kubeconfig, config.to_string()).map_err(|error| error.to_string())
    }

    /// Gives the user the rights of the documentation.
    pub(in crate::e2e) fn apply_role(&self) -> Result<(), String> {
        let role = root().join(format!("backends/{}/rbac.yaml", self.kind.scheme));
        self.kubectl(&["apply", "-f", &role.display().to_string()]).map(drop)
    }

    /// The requests of the client that the API server has answered, oldest first.
    pub(in crate::e2e) fn audit(&self) -> Result<Vec<Value>, String> {
        let client = format!("system:serviceaccount:{NAMESPACE}:client");
        let text = fs::read_to_string(self.cluster.audit()).map_err(|error| error.to_string())?;
        let all = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        Ok(all.filter(|asked: &Value| asked["user"]["username"] == client).collect())
    }

    /// How many requests the API server has answered, of everybody.
    pub(in crate::e2e) fn requests(&self) -> Result<u64, String> {
        let text = self.cluster.kubectl(["get", "--raw", "/metrics"])?;
        let counts = text.lines().filter(|line| line.starts_with("apiserver_request_total{"));
        Ok(counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64)
    }

    /// The address of the API server.
    pub(in crate::e2e) fn server(&self) -> Result<String, String> {
        let text = fs::read_to_string(&self.kubeconfig).map_err(|error| error.to_string())?;
        let config: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let server = config["clusters"][0]["cluster"]["server"].as_str().unwrap_or_default();
        Ok(server.trim_start_matches("https://").trim_end_matches('/').to_owned())
    }

    /// A kubeconfig of the client that leads to this port of loopback.
    pub(in crate::e2e) fn through(&self, port: u16) -> Result<PathBuf, String> {
        let text = fs::read_to_string(&self.kubeconfig).map_err(|error| error.to_string())?;
        let mut config: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let cluster = &mut config["clusters"][0]["cluster"];
        cluster["server"] = format!("https://127.0.0.1:{port}").into();
        cluster["tls-server-name"] = "kubernetes.default.svc".into();
        let file = self.folder.join("kubeconfig-proxy");
        fs::write(&file, config.to_string()).map_err(|error| error.to_string())?;
        Ok(file)
    }

    /// Evicts a pod, as who drains a node does.
    pub(in crate::e2e) fn evict(&self, name: &str) -> Result<(), String> {
        let eviction =
            serde_json::json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
        let file = self.folder.join("eviction.json");
        fs::write(&file, eviction.to_string()).map_err(|error| error.to_string())?;
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction");
        self.kubectl(&["create", "--raw", &path, "-f", &file.display().to_string()]).map(drop)
    }

    /// Evicts all pods of a node, which takes no more of them until it is uncordoned.
    pub(in crate::e2e) fn drain(&self, node: &str) -> Result<(), String> {
        let how = ["--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=80s"];
        self.cluster.kubectl(["drain", node].iter().chain(&how)).map(drop)
    }

    /// `kubectl` in the namespace, as an administrator.
    pub(in crate::e2e) fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        self.cluster.kubectl([&["-n", NAMESPACE], arguments].concat())
    }

    /// Objects of a kind that are the backend's.
    pub(in crate::e2e) fn objects(&self, kind: &str) -> Result<Vec<Value>, String> {
        let listed = self.kubectl(&["get", kind, "-l", self.kind.label, "-o", "json"])?;
        let mut listed: Value = serde_json::from_str(&listed).map_err(|error| error.to_string())?;
        match listed["items"].take() {
            Value::Array(items) => Ok(items),
            other => Err(format!("no list of {kind}: {other}")),
        }
    }

    /// The pods of workers that run.
    pub(in crate::e2e) fn running(&self) -> Result<Vec<Value>, String> {
        let mut pods = self.objects("pods")?;
        pods.retain(|pod| {
            pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null()
        });
        Ok(pods)
    }

    /// Deletes all that jobs have left, and waits until it is gone.
    pub(in crate::e2e) fn clear(&self) -> Result<(), String> {
        self.kubectl(&["delete", self.kind.makes, "-l", self.kind.label, "--timeout=60s"])?;
        self.until("no pod of a worker is there", || {
            let is_left = !self.objects("pods")?.is_empty();
            if is_left && self.kind.ends_slowly {
                // They would wait for requests for half a minute.
                let now = ["--force", "--grace-period=0", "--wait=false"];
                self.kubectl(&[&["delete", "pods", "-l", self.kind.label], &now[..]].concat())?;
            }
            Ok(!is_left)
        })
    }

    /// Writes the configuration of a program; `more` are keys of the backend's section.
    pub(in crate::e2e) fn config(&self, name: &str, more: &str) -> Result<PathBuf, String> {
        let keys = [
            ("kubecfg_path", format!("'{}'", self.kubeconfig.display())),
            ("namespace", NAMESPACE.to_owned()),
            ("docker_server", format!("'http://{}'", self.cluster.registry())),
        ];
        let more_keys = self.kind.keys.iter().map(|(key, value)| (*key, (*value).to_owned()));
        let keys: Vec<_> = keys.into_iter().chain(more_keys).collect();
        let own = |key: &str| more.starts_with(&format!("{key}:")) || more.contains(&format!(" {key}:"));
        let keys = keys.iter().filter(|(key, _)| !own(key)).map(|(key, value)| format!("{key}: {value}, "));
        let section = format!("{}: {{{}{more}}}\n", self.kind.scheme, keys.collect::<String>());
        let storage =
            self.storage.replace("lithops: {", &format!("lithops: {{backend: {}, ", self.kind.scheme));
        if !storage.contains("backend:") {
            return Err(format!(
                "the configuration of the storage has no section `lithops`:\n{}",
                self.storage
            ));
        }
        let file = self.folder.join(format!("{name}.yaml"));
        fs::write(&file, storage + &section).map_err(|error| error.to_string())?;
        Ok(file)
    }

    /// A program that was built, in the network of the cluster, under such a configuration.
    pub(in crate::e2e) fn command(&self, program: &str, more: &str) -> Result<Command, String> {
        let config = self.config("config", more)?;
        // Programs that are started in the background by a shell ignore Ctrl-C, and so would all below them.
        let mut command = self.cluster.command("env");
        command.arg("--default-signal=INT").arg(self.built.join(program));
        command.current_dir(&self.folder).env("HOME", &self.folder).env("LITHOPS_CONFIG_FILE", config);
        command.env_remove("KUBECONFIG").stdin(Stdio::null());
        Ok(command)
    }

    /// Runs a program to its end.
    pub(in crate::e2e) fn run(&self, program: &str, arguments: &[&str], more: &str) -> Result<Ran, String> {
        let output = self.command(program, more)?.args(arguments).output();
        output.map(Ran::of).map_err(|error| format!("cannot start `{program}`: {error}"))
    }

    /// Starts a program; what it prints goes to files.
    pub(in crate::e2e) fn start(
        &self,
        program: &str,
        arguments: &[&str],
        more: &str,
    ) -> Result<Running, String> {
        let file = |name: &str| fs::File::create(self.folder.join(name)).map_err(|error| error.to_string());
        let mut command = self.command(program, more)?;
        let child = command.args(arguments).stdout(file("stdout")?).stderr(file("stderr")?).spawn();
        let child = child.map_err(|error| format!("cannot start `{program}`: {error}"))?;
        Ok(Running { child, folder: self.folder.clone() })
    }

    /// Waits until something is so.
    pub(in crate::e2e) fn until(
        &self,
        what: &str,
        mut is_so: impl FnMut() -> Result<bool, String>,
    ) -> Result<(), String> {
        let begun = Instant::now();
        while !is_so()? {
            if begun.elapsed() > PATIENCE {
                let pods = self
                    .kubectl(&["get", &format!("pods,{}", self.kind.makes), "-o", "wide"])
                    .unwrap_or_default();
                return Err(format!("{what}: not so after {PATIENCE:?}\n{pods}"));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Waits until something is so while a program runs: that the program ends before is an error.
    pub(in crate::e2e) fn until_of(
        &self,
        running: &mut Running,
        what: &str,
        mut is_so: impl FnMut(&Running) -> Result<bool, String>,
    ) -> Result<(), String> {
        self.until(what, || {
            if is_so(running)? {
                return Ok(true);
            }
            // It may have said its last words meanwhile.
            if running.has_ended()? && !is_so(running)? {
                return Err(format!("the program ended before this was so: {what}\n{}", running.stderr()));
            }
            Ok(false)
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // The folder is below the target folder: `cargo clean` removes it where this fails.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// How a program ended, and what it printed.
#[derive(Debug)]
pub(in crate::e2e) struct Ran {
    pub(in crate::e2e) code: Option<i32>,
    pub(in crate::e2e) stdout: String,
    pub(in crate::e2e) stderr: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Fails unless the program ended well and printed this.
    pub(in crate::e2e) fn says(&self, words: &str) -> Result<&Self, String> {
        let Self { code, stdout, stderr } = self;
        if *code == Some(0) && stdout.contains(words) {
            return Ok(self);
        }
        Err(format!("wanted `{words}`\nexit code {code:?}\nstdout:\n{stdout}\nstderr:\n{stderr}"))
    }

    /// Fails unless the program ended with an error with these words.
    pub(in crate::e2e) fn refuses(&self, words: &str) -> Result<(), String> {
        let Self { code, stdout, stderr } = self;
        if *code != Some(0) && stderr.contains(words) {
            return Ok(());
        }
        Err(format!("wanted the error `{words}`\nexit code {code:?}\nstdout:\n{stdout}\nstderr:\n{stderr}"))
    }
}

/// A program that runs. It is killed when this is dropped.
#[derive(Debug)]
pub(in crate::e2e) struct Running {
    child: Child,
    folder: PathBuf,
}

impl Running {
    pub(in crate::e2e) fn stdout(&self) -> String {
        fs::read_to_string(self.folder.join("stdout")).unwrap_or_default()
    }

    pub(in crate::e2e) fn stderr(&self) -> String {
        fs::read_to_string(self.folder.join("stderr")).unwrap_or_default()
    }

    /// Whether the program has ended.
    pub(in crate::e2e) fn has_ended(&mut self) -> Result<bool, String> {
        self.child.try_wait().map(|status| status.is_some()).map_err(|error| error.to_string())
    }

    /// Waits for its end.
    pub(in crate::e2e) fn end(mut self) -> Result<Ran, String> {
        let status = self.child.wait().map_err(|error| error.to_string())?;
        Ok(Ran { code: status.code(), stdout: self.stdout(), stderr: self.stderr() })
    }

    pub(in crate::e2e) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it the signal of Ctrl-C.
    pub(in crate::e2e) fn interrupt(&self) -> Result<(), String> {
        crate::steps::run(Command::new("kill").args(["-INT", &self.pid().to_string()]))
    }

    /// Kills it, so that it can tidy up nothing.
    pub(in crate::e2e) fn kill(&mut self) -> Result<(), String> {
        self.child.kill().and_then(|()| self.child.wait().map(drop)).map_err(|error| error.to_string())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.kill();
    }
}
