//! A second opinion on the worker's `bootstrap`: AWS's own runtime interface emulator calls it. Functions are deployed to
//! ministack; what stands before it sends their invocations to the emulator.

use std::{
    fs::File,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    cluster::aws_programs,
    e2e::{
        peers::{ID, SECRET, Server},
        program::Programs,
    },
    steps,
};

/// The handler that functions are deployed with.
const HANDLER: &str = "lithops";
/// How long the emulator may take to listen.
const START: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// The emulator with one instance of the worker. It ends with this.
struct Emulator {
    process: Child,
    port: u16,
    log: PathBuf,
}

/// Calls that go well, and calls that fail in every way, in an instance that the emulator drives.
/// With `full` also the end of an instance, and an answer as long as one may be.
pub(super) fn agrees(programs: &Programs, server: &Server, folder: &Path, full: bool) -> Result<(), String> {
    let emulator = Emulator::start(programs, folder, "60")?;
    let front = Front::start(server, &emulator)?;
    programs.write("config.yaml", front.yaml.as_bytes())?;
    let said = programs.example_with("granularity", &[], "config.yaml")?;
    let expected: Vec<i64> = (7..207).collect();
    said.ends_with(0)?.wants("the results", said.stdout == format!("{expected:?}\n"))?;
    // A call that panics, exits, aborts, is killed, or hangs beyond its time; and what one prints.
    let said = programs.example_with("failures", &[], "config.yaml")?;
    said.ends_with(0)?;
    for line in
        ["return: return is fine\n", "panic: ", "exit: ", "abort: ", "kill: ", "hang: ", "a line of output\n"]
    {
        said.wants(line, said.stdout.contains(line))?;
    }
    if !full {
        return Ok(());
    }
    crash(programs, &emulator, folder)?;
    long_answer(programs, &front)?;
    drop(emulator);
    timeout(programs, server, folder)
}

/// The worker is killed while it has calls: they are tried again in the next one.
fn crash(programs: &Programs, emulator: &Emulator, folder: &Path) -> Result<(), String> {
    let output = |name: &str| File::create(folder.join(name)).map_err(|error| error.to_string());
    let (before, mut killed) = (emulator.starts()?, false);
    let mut job = programs.command("examples/fleet");
    job.args(["map", "20", "200"]).env("LITHOPS_CONFIG_FILE", "config.yaml");
    let job = job.stdout(output("crash.out")?).stderr(output("crash.err")?).spawn();
    let mut job = job.map_err(|error| format!("cannot start the example: {error}"))?;
    let status = loop {
        if let Some(status) = job.try_wait().map_err(|error| error.to_string())? {
            break status;
        }
        if !killed && emulator.starts()? > before {
            killed = emulator.kill_worker();
        }
        thread::sleep(PAUSE);
    };
    let said = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    let (stdout, stderr) = (said("crash.out"), said("crash.err"));
    let is_right =
        stdout.contains("all 20 results are right") && !stdout.contains("0 calls were tried again");
    if killed && status.success() && is_right {
        return Ok(());
    }
    Err(format!("a worker that crashes loses calls: killed {killed}, {status}\n{stdout}\n{stderr}"))
}

/// An answer that is nearly as long as Lambda lets one be.
fn long_answer(programs: &Programs, front: &Front) -> Result<(), String> {
    const LONG: usize = 4 << 20;
    let said = programs.example_with("bench", &["bytes", "4"], "config.yaml")?;
    let longest = front.longest.load(Ordering::Relaxed);
    said.ends_with(0)?
        .wants(&format!("an answer of {LONG} bytes, and not only {longest}"), longest >= LONG)
        .map(drop)
}

/// A call that lasts for longer than its function may.
fn timeout(programs: &Programs, server: &Server, folder: &Path) -> Result<(), String> {
    let emulator = Emulator::start(programs, folder, "2")?;
    let front = Front::start(server, &emulator)?;
    programs.write("config.yaml", front.yaml.as_bytes())?;
    let said = programs.example_with("fleet", &["map", "1", "20000"], "config.yaml")?;
    said.ends_with(1)?;
    said.wants("the words of Lambda", said.stderr.contains("Task timed out after 2.00 seconds")).map(drop)
}

/// What stands before the service and the emulator.
struct Front {
    /// The configuration that leads there.
    yaml: String,
    /// The length of the longest answer of the emulator.
    longest: Arc<AtomicUsize>,
}

impl Front {
    fn start(server: &Server, emulator: &Emulator) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        let longest = Arc::new(AtomicUsize::new(0));
        let (service, functions, length) = (server.port, emulator.port, Arc::clone(&longest));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let length = Arc::clone(&length);
                // A client may go away.
                thread::spawn(move || drop(pass_on(stream, service, functions, &length)));
            }
        });
        let own = format!("aws_lambda: {{endpoint: 'http://127.0.0.1:{}'", server.port);
        let yaml = server.yaml.replace(&own, &format!("aws_lambda: {{endpoint: 'http://127.0.0.1:{port}'"));
        if yaml == server.yaml {
            return Err("the configuration has another form than was expected".to_owned());
        }
        Ok(Self { yaml: yaml.replace("MORE", ", max_workers: 1"), longest })
    }
}

impl Emulator {
    /// Starts it for functions that may run for this many seconds.
    fn start(programs: &Programs, folder: &Path, seconds: &str) -> Result<Self, String> {
        let (program, worker) =
            (aws_programs()?.join("aws-lambda-rie"), programs.built().join("lithops-worker"));
        let free = || {
            let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
            listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
        };
        let (port, runtime) = (free()?, free()?);
        let path = folder.join("emulator.log");
        let log = File::create(&path).map_err(|error| error.to_string())?;
        let mut command = Command::new(&program);
        command.arg("--runtime-interface-emulator-address").arg(format!("127.0.0.1:{port}"));
        command.arg("--runtime-api-address").arg(format!("127.0.0.1:{runtime}")).arg(worker).arg(HANDLER);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", folder).envs([
            ("AWS_ACCESS_KEY_ID", ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_REGION", "us-east-1"),
            ("AWS_LAMBDA_FUNCTION_TIMEOUT", seconds),
        ]);
        command.stdin(Stdio::null()).stderr(log.try_clone().map_err(|error| error.to_string())?).stdout(log);
        let process =
            command.spawn().map_err(|error| format!("cannot start `{}`: {error}", program.display()))?;
        let emulator = Self { process, port, log: path };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if begun.elapsed() > START {
                return Err("the emulator of AWS does not listen".to_owned());
            }
            thread::sleep(PAUSE);
        }
        Ok(emulator)
    }

    /// How many invocations it has begun.
    fn starts(&self) -> Result<usize, String> {
        let log = std::fs::read_to_string(&self.log).map_err(|error| error.to_string())?;
        Ok(log.matches("START RequestId: ").count())
    }

    /// Kills the worker, without a word to it; whether there was one.
    fn kill_worker(&self) -> bool {
        let id = self.process.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        // A thread of the emulator's may be its parent, by what the kernel counts.
        let tasks = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
        let others = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        let all: String = others.chain([children]).collect::<Vec<_>>().join(" ");
        let mut children = all.split_whitespace();
        children.next().is_some_and(|child| steps::run(Command::new("kill").args(["-KILL", child])).is_ok())
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // The worker ends when its runtime API is gone.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Passes one request on: an invocation to the emulator, anything else to the service.
fn pass_on(
    mut client: TcpStream,
    service: u16,
    functions: u16,
    longest: &AtomicUsize,
) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let (head, length) = loop {
        let mut piece = [0; 65536];
        let read = client.read(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&piece[..read]);
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            bytes.drain(..end + 4);
            break (head, length.unwrap_or(0));
        }
    };
    while bytes.len() < length {
        let mut piece = [0; 65536];
        let read = client.read(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&piece[..read]);
    }
    let mut lines = head.lines();
    let first: Vec<_> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, path, _] = first[..] else { return Ok(()) };
    let is_invocation = method == "POST" && path.contains("/functions/") && path.ends_with("/invocations");
    let (port, path) = match is_invocation {
        true => (functions, "/2015-03-31/functions/function/invocations"),
        false => (service, path),
    };
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    // The older version of HTTP has no answers in chunks, and ends the connection after one.
    let mut request = format!("{method} {path} HTTP/1.0\r\n");
    for line in lines.filter(|line| !line.to_lowercase().starts_with("connection:")) {
        request.push_str(line);
        request.push_str("\r\n");
    }
    server.write_all(request.as_bytes())?;
    server.write_all(b"\r\n")?;
    server.write_all(&bytes)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut body = answer.get(end + 4..).unwrap_or_default().to_vec();
    let mut failed = String::new();
    if is_invocation {
        longest.fetch_max(body.len(), Ordering::Relaxed);
        // The emulator has no front end, which says this in another form.
        if body.starts_with(b"Task timed out") {
            let words = String::from_utf8_lossy(&body).into_owned();
            body =
                format!(r#"{{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: 1 Error: {words}"}}"#)
                    .into_bytes();
            failed.push_str("X-Amz-Function-Error: Unhandled\r\n");
        }
    }
    let mut lines = head.lines();
    let status =
        lines.next().unwrap_or_default().split_once(' ').map_or("502 no answer", |(_, status)| status);
    let mut whole = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    let kept = |line: &&str| {
        let line = line.to_lowercase();
        !["connection:", "content-length:", "transfer-encoding:"].iter().any(|name| line.starts_with(name))
    };
    for line in lines.filter(kept) {
        whole.push_str(line);
        whole.push_str("\r\n");
    }
    client.write_all(whole.as_bytes())?;
    client.write_all(failed.as_bytes())?;
    client.write_all(b"\r\n")?;
    client.write_all(&body)
}
