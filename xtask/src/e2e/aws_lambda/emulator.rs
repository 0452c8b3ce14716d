//! A second opinion on the worker's `bootstrap`: AWS's own runtime interface emulator calls it. Functions are deployed to
//! ministack; what stands before it sends their invocations to the emulator.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    cluster::aws_programs,
    e2e::{
        peers::{ID, SECRET, Server},
        program::Programs,
    },
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
}

/// Calls that go well, and calls that fail in every way, in an instance that the emulator drives.
pub(super) fn agrees(programs: &Programs, server: &Server, folder: &Path) -> Result<(), String> {
    let worker = programs.built().join("lithops-worker");
    let emulator = Emulator::start(&aws_programs()?.join("aws-lambda-rie"), &worker, folder)?;
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let front = listener.local_addr().map_err(|error| error.to_string())?.port();
    let (service, functions) = (server.port, emulator.port);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client may go away.
            thread::spawn(move || drop(pass_on(stream, service, functions)));
        }
    });
    let own = format!("aws_lambda: {{endpoint: 'http://127.0.0.1:{}'", server.port);
    let yaml = server.yaml.replace(&own, &format!("aws_lambda: {{endpoint: 'http://127.0.0.1:{front}'"));
    if yaml == server.yaml {
        return Err("the configuration has another form than was expected".to_owned());
    }
    programs.write("config.yaml", yaml.replace("MORE", ", max_workers: 1").as_bytes())?;
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
    Ok(())
}

impl Emulator {
    fn start(program: &Path, worker: &Path, folder: &Path) -> Result<Self, String> {
        let free = || {
            let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
            listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
        };
        let (port, runtime) = (free()?, free()?);
        let log = std::fs::File::create(folder.join("emulator.log")).map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.arg("--runtime-interface-emulator-address").arg(format!("127.0.0.1:{port}"));
        command.arg("--runtime-api-address").arg(format!("127.0.0.1:{runtime}")).arg(worker).arg(HANDLER);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", folder).envs([
            ("AWS_ACCESS_KEY_ID", ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_REGION", "us-east-1"),
            ("AWS_LAMBDA_FUNCTION_TIMEOUT", "60"),
        ]);
        command.stdin(Stdio::null()).stderr(log.try_clone().map_err(|error| error.to_string())?).stdout(log);
        let process =
            command.spawn().map_err(|error| format!("cannot start `{}`: {error}", program.display()))?;
        let emulator = Self { process, port };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if begun.elapsed() > START {
                return Err("the emulator of AWS does not listen".to_owned());
            }
            thread::sleep(PAUSE);
        }
        Ok(emulator)
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
fn pass_on(mut client: TcpStream, service: u16, functions: u16) -> std::io::Result<()> {
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
    let body = answer.get(end + 4..).unwrap_or_default();
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
    client.write_all(b"\r\n")?;
    client.write_all(body)
}
