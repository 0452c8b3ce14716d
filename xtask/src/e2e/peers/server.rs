//! [`Server`]: a server on loopback that ends when it is dropped.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::parts;
use crate::workspace::{built, root};

/// How long a server may take to answer.
const START: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// The file of the requests of a server that counts them.
const ACCESSES: &str = "accesses.log";

/// The bucket that is made in each.
pub(crate) const BUCKET: &str = "lithops-e2e";
/// Credentials that must not be seen anywhere but in the configuration.
pub(crate) const ID: &str = "PLANTEDID0123456789";
pub(crate) const SECRET: &str = "planted-secret-5b1e6f4c";

/// A server, the configuration that leads to it, and its files.
#[derive(Debug)]
pub(crate) struct Server {
    pub(in crate::e2e) name: &'static str,
    pub(crate) yaml: String,
    /// The folder of the server's files, if secrets can be searched for in them.
    pub(in crate::e2e) data: Option<PathBuf>,
    pub(crate) port: u16,
    /// The output of the server.
    pub(in crate::e2e) log: Option<PathBuf>,
    process: Child,
    /// Programs in front of the server, which end when their standard input does.
    fronts: Vec<Child>,
}

impl Server {
    /// fake-gcs-server behind `tests/gcs_front`, as the storage `gcp_storage`; requests must be signed with the key of a
    /// service account.
    pub(in crate::e2e) fn gcs(folder: &Path) -> Result<Self, String> {
        let [port] = free_ports()?;
        let log = folder.join("gcs.log");
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(parts::fake_gcs()?);
        command
            .args(["-scheme", "http", "-host", "127.0.0.1", "-port", &port.to_string(), "-backend", "memory"])
            .args([
                "-public-host",
                &address,
                "-external-url",
                &format!("http://{address}"),
                "-log-level",
                "warn",
            ]);
        let process = start(&mut command, &log)?;
        let mut server = Self {
            name: "gcs",
            yaml: String::new(),
            data: None,
            port,
            log: Some(log),
            process,
            fronts: Vec::new(),
        };
        let bucket = format!(r#"{{"name":"{BUCKET}"}}"#);
        server.wait(|| sends(port, "POST", "/storage/v1/b?project=lithops-test", &bucket))?;
        let key = folder.join("gcs-key.json");
        let mut front = Command::new(built("debug")?.join("gcs-front"));
        front.args(["--server", &address, "--key-file"]).arg(&key);
        let endpoint = server.put_front(&mut front)?;
        // The secret that is looked for stands in the key file too.
        let content = fs::read_to_string(&key).map_err(|error| error.to_string())?;
        let planted = content.replace(r#""client_id":"1""#, &format!(r#""client_id":"{SECRET}""#));
        fs::write(&key, planted).map_err(|error| error.to_string())?;
        server.yaml = format!(
            "lithops: {{storage: gcp_storage}}\ngcp_storage:\n  endpoint: {endpoint}\n  storage_bucket: {BUCKET}\n  credentials_path: {}\n",
            key.display()
        );
        server.port = endpoint.rsplit(':').next().and_then(|port| port.parse().ok()).ok_or("no port")?;
        Ok(server)
    }

    /// SeaweedFS, as the storage `minio`.
    pub(crate) fn seaweedfs(folder: &Path) -> Result<Self, String> {
        let data = folder.join("seaweedfs");
        fs::create_dir_all(&data).map_err(|error| error.to_string())?;
        let identities = format!(
            r#"{{"identities":[{{"name":"e2e","credentials":[{{"accessKey":"{ID}","secretKey":"{SECRET}"}}],"actions":["Admin","Read","Write","List","Tagging"]}}]}}"#
        );
        let config = folder.join("seaweedfs.json");
        fs::write(&config, identities).map_err(|error| error.to_string())?;
        let [s3, master, volume, filer] = free_ports()?;
        let process = start(
            Command::new(parts::weed()?)
                .args(["-logtostderr", "server", "-s3", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"])
                .arg("-master.telemetry=false")
                // `weed mini` starts sooner, but takes no object at all where less than one percent of the disk is free.
                .args(["-volume.minFreeSpace=50MiB", "-volume.max=200", "-master.volumeSizeLimitMB=64"])
                .arg(format!("-dir={}", data.display()))
                .arg(format!("-s3.config={}", config.display()))
                .arg(format!("-s3.port={s3}"))
                .arg(format!("-master.port={master}"))
                .arg(format!("-volume.port={volume}"))
                .arg(format!("-filer.port={filer}")),
            &folder.join("seaweedfs.log"),
        )?;
        let yaml = format!(
            "lithops: {{storage: minio}}\nminio:\n  endpoint: http://127.0.0.1:{s3}\n  storage_bucket: {BUCKET}\n  access_key_id: {ID}\n  secret_access_key: {SECRET}\n"
        );
        let log = Some(folder.join("seaweedfs.log"));
        let mut server =
            Self { name: "seaweedfs", yaml, data: Some(data), port: s3, log, process, fronts: Vec::new() };
        // A folder of its filer is a bucket of its S3. It answers before there is a place for objects.
        server.wait(|| asks(filer, "POST", &format!("/buckets/{BUCKET}/")))?;
        let first = format!("/buckets/{BUCKET}/first");
        server.wait(|| sends(filer, "PUT", &first, "first") && asks(filer, "DELETE", &first))?;
        server.wait(|| asks(s3, "GET", "/healthz"))?;
        Ok(server)
    }

    /// `tests/fake_cloudrun`, as `gcp_cloudrun` with the storage of [`gcs`](Self::gcs). The word MORE in the configuration
    /// stands for more of the section `gcp_cloudrun`.
    pub(in crate::e2e) fn cloud_run(folder: &Path) -> Result<Self, String> {
        let mut server = Self::gcs(folder)?;
        let key = folder.join("cloudrun-key.json");
        let mut fake = Command::new(built("debug")?.join("fake-cloudrun"));
        let endpoint = server.put_front(fake.arg("--key-file").arg(&key))?;
        server.name = "fake_cloudrun";
        server.yaml = format!(
            "{}gcp_cloudrun: {{region: us-east1, endpoint: '{endpoint}', credentials_path: '{}'MORE}}\n",
            server.yaml.replace("{storage:", "{backend: gcp_cloudrun, storage:"),
            key.display()
        );
        server.port = endpoint.rsplit(':').next().and_then(|port| port.parse().ok()).ok_or("no port")?;
        Ok(server)
    }

    /// Starts a program that prints its endpoint, and ends with this server.
    fn put_front(&mut self, command: &mut Command) -> Result<String, String> {
        let name = command.get_program().display().to_string();
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut front = started.map_err(|error| format!("cannot start `{name}`: {error}"))?;
        let output = front.stdout.take();
        self.fronts.push(front);
        let mut endpoint = String::new();
        let mut output = BufReader::new(output.ok_or_else(|| format!("`{name}` has no output"))?);
        output.read_line(&mut endpoint).map_err(|error| error.to_string())?;
        Ok(endpoint.trim().to_owned())
    }

    /// What the server says at a path.
    pub(in crate::e2e) fn get(&self, path: &str) -> String {
        let port = self.port;
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
        say(port, &request).split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned())
    }

    /// moto, as the storage `aws_s3`.
    pub(in crate::e2e) fn moto(folder: &Path) -> Result<Self, String> {
        let [port] = free_ports()?;
        let mut command = Command::new(parts::moto()?);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let process = start(&mut command, &folder.join("moto.log"))?;
        let yaml = format!(
            "lithops: {{storage: aws_s3}}\naws: {{access_key_id: {ID}, secret_access_key: {SECRET}, region: us-east-1}}\naws_s3: {{storage_bucket: {BUCKET}, endpoint: 'http://127.0.0.1:{port}'}}\naws_lambda: {{endpoint: 'http://127.0.0.1:{port}', execution_role: 'arn:aws:iam::123456789012:role/lithops'MORE}}\n"
        );
        let log = Some(folder.join("moto.log"));
        let mut server = Self { name: "moto", yaml, data: None, port, log, process, fronts: Vec::new() };
        server.wait(|| asks(port, "PUT", &format!("/{BUCKET}")))?;
        Ok(server)
    }

    /// ministack, as `aws_lambda` and its storage `aws_s3`; when it is `strict` it looks at signatures and policies. The
    /// word MORE in the configuration stands for more of the section `aws_lambda`.
    pub(crate) fn ministack(folder: &Path, strict: bool) -> Result<Self, String> {
        Self::ministack_by(Command::new(parts::ministack()?), folder, strict)
    }

    /// ministack, which is not strict, and writes down its requests at [`accesses`](Self::accesses).
    pub(crate) fn counted_ministack(folder: &Path) -> Result<Self, String> {
        let mut command = Command::new(parts::ministack_python()?);
        command.arg(root().join("xtask/peers/ministack_counted.py")).arg(folder.join(ACCESSES));
        Self::ministack_by(command, folder, false)
    }

    /// Where a server that counts has a line for each request.
    pub(crate) fn accesses(&self) -> PathBuf {
        self.log.as_deref().and_then(Path::parent).map(|folder| folder.join(ACCESSES)).unwrap_or_default()
    }

    /// The configuration of the backend `aws_lambda`, with more in its section.
    pub(crate) fn lambda_yaml(&self, more: &str) -> String {
        self.yaml.replace("MORE", more)
    }

    fn ministack_by(mut command: Command, folder: &Path, strict: bool) -> Result<Self, String> {
        let [port] = free_ports()?;
        let log = folder.join("ministack.log");
        // Functions inherit the variables that the server is started with.
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", folder).envs([
            ("BIND_HOST", "127.0.0.1"),
            ("MINISTACK_HOST", "127.0.0.1"),
            ("GATEWAY_PORT", &port.to_string()),
            ("AUTH", if strict { "true" } else { "false" }),
        ]);
        let process = start(&mut command, &log)?;
        let (id, secret) = if strict { ("test", "test") } else { (ID, SECRET) };
        let yaml = format!(
            "lithops: {{backend: aws_lambda}}\naws: {{access_key_id: {id}, secret_access_key: {secret}, region: us-east-1}}\naws_s3: {{storage_bucket: {BUCKET}, endpoint: 'http://127.0.0.1:{port}'}}\naws_lambda: {{endpoint: 'http://127.0.0.1:{port}', execution_role: 'arn:aws:iam::000000000000:role/lithops'MORE}}\n"
        );
        let mut server =
            Self { name: "ministack", yaml, data: None, port, log: Some(log), process, fronts: Vec::new() };
        server.wait(|| asks(port, "GET", "/_ministack/health"))?;
        if !strict && !asks(port, "PUT", &format!("/{BUCKET}")) {
            return Err("ministack makes no bucket".to_owned());
        }
        Ok(server)
    }

    /// Redis, as the storage `redis`.
    pub(in crate::e2e) fn redis(folder: &Path) -> Result<Self, String> {
        let data = folder.join("redis");
        fs::create_dir_all(&data).map_err(|error| error.to_string())?;
        let [port] = free_ports()?;
        // What is written before it ends is not compressed, so that it can be searched; the password is not an
        // argument, so that no list of processes shows it.
        let config = format!(
            "bind 127.0.0.1\nport {port}\ndir {}\nsave 3600 1\nrdbcompression no\nrequirepass {SECRET}\n",
            data.display()
        );
        let file = folder.join("redis.conf");
        fs::write(&file, config).map_err(|error| error.to_string())?;
        let process = start(Command::new(parts::redis()?).arg(&file), &folder.join("redis.log"))?;
        let yaml = format!(
            "lithops: {{storage: redis}}\nredis: {{host: 127.0.0.1, port: {port}, storage_bucket: {BUCKET}, password: {SECRET}}}\n"
        );
        let log = Some(folder.join("redis.log"));
        let mut server =
            Self { name: "redis", yaml, data: Some(data), port, log, process, fronts: Vec::new() };
        server.wait(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())?;
        Ok(server)
    }

    /// Makes Redis write its data to its folder.
    pub(in crate::e2e) fn flush(&self) -> Result<(), String> {
        if self.name != "redis" {
            return Ok(());
        }
        self.command("SAVE")
    }

    /// Takes from Redis the memory for further data.
    pub(in crate::e2e) fn fill(&self) -> Result<(), String> {
        self.command("CONFIG SET maxmemory 1")
    }

    /// Lets Redis have all memory again.
    pub(in crate::e2e) fn empty(&self) -> Result<(), String> {
        self.command("CONFIG SET maxmemory 0")
    }

    fn command(&self, command: &str) -> Result<(), String> {
        let said = say(self.port, &format!("AUTH {SECRET}\r\n{command}\r\nQUIT\r\n"));
        if said.matches("+OK").count() >= 2 {
            Ok(())
        } else {
            Err(format!("redis refused `{command}`: {said}"))
        }
    }

    fn wait(&mut self, ready: impl Fn() -> bool) -> Result<(), String> {
        let begun = Instant::now();
        while !ready() {
            let ended = self.process.try_wait().ok().flatten();
            if let Some(status) = ended {
                return Err(format!("{} ended with {status} as it started{}", self.name, self.last_lines()));
            }
            if begun.elapsed() > START {
                return Err(format!(
                    "{} is not ready at port {} after {} s{}",
                    self.name,
                    self.port,
                    START.as_secs(),
                    self.last_lines()
                ));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// The end of what the server printed.
    pub(in crate::e2e) fn last_lines(&self) -> String {
        let printed = self.log.as_ref().and_then(|log| fs::read(log).ok()).unwrap_or_default();
        let printed = String::from_utf8_lossy(&printed);
        let lines: Vec<&str> = printed.lines().collect();
        let last = &lines[lines.len().saturating_sub(20)..];
        if last.is_empty() { String::new() } else { format!("; it printed:\n{}", last.join("\n")) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The server may have ended by itself.
        for process in self.fronts.iter_mut().chain([&mut self.process]) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn start(command: &mut Command, log: &Path) -> Result<Child, String> {
    let file = |error| format!("cannot write `{}`: {error}", log.display());
    let output = File::create(log).map_err(file)?;
    let errors = output.try_clone().map_err(file)?;
    command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(|error| format!("cannot start `{}`: {error}", command.get_program().display()))
}

/// Free ports. SeaweedFS adds a second one for each, 10,000 further up: that one is free too.
fn free_ports<const N: usize>() -> Result<[u16; N], String> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    let bind = |port| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    for slot in &mut ports {
        let port = (0..1000).find_map(|_| {
            let first = bind(0).ok()?;
            // Below the ports that systems choose for outgoing connections.
            let port = 12_000 + first.local_addr().ok()?.port() % 9_000;
            let pair = (bind(port).ok()?, bind(port + 10_000).ok()?);
            held.push(pair);
            Some(port)
        });
        *slot = port.ok_or("there are no free ports")?;
    }
    Ok(ports)
}

/// Whether a request is answered with success.
fn asks(port: u16, method: &str, path: &str) -> bool {
    sends(port, method, path, "")
}

/// Whether a request with a body is answered with success.
fn sends(port: u16, method: &str, path: &str, body: &str) -> bool {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    say(port, &request).starts_with("HTTP/1.1 2")
}

fn say(port: u16, text: &str) -> String {
    let exchange = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(text.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    exchange().unwrap_or_default()
}
